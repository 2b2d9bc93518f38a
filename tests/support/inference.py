"""A worker with real slots, pipeline and model, and a post that writes down what it is given."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from detector.capture.idle_cameras import IdleCameras
from detector.capture.latest_frames import LatestFrames
from detector.config.schema import AlarmSettings, Camera
from detector.core.clock import SYSTEM_CLOCK
from detector.core.threads import ServiceThread
from detector.core.types import AlarmState, Alert, ArrayImage, EventChange, Frame
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.service.alarm_controller import AlarmController
from detector.service.inference_loop import Worker
from support.graphs import write_constant

SIZE = 64
DEADLINE_S = 20.0
WALKER = [20.0, 10.0, 40.0, 60.0, 0.9, 0.0]


@dataclass(slots=True)
class RecordedFindings:
    """A `worker.Post`, an alarm's `send` and `tell`."""

    changes: list[EventChange] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    counts: list[tuple[str, int]] = field(default_factory=list)
    motions: list[tuple[str, bool]] = field(default_factory=list)
    states: list[AlarmState] = field(default_factory=list)

    def change(self, change: EventChange) -> None:
        self.changes.append(change)

    def people(self, camera: str, count: int) -> None:
        self.counts.append((camera, count))

    def motion(self, camera: str, moving: bool) -> None:
        self.motions.append((camera, moving))

    def tell(self, state: AlarmState, _snapshot: object) -> None:
        self.states.append(state)


def end_to_end_model(path: Path, rows: list[list[float]]) -> Path:
    """A YOLOv10-like model of 64x64 px that sees `rows` (x1, y1, x2, y2, score, class) in every picture."""
    answer = np.zeros((1, 300, 6), np.float32)
    answer[0, : len(rows)] = np.reshape(rows, (-1, 6))
    return write_constant(path, {"output0": answer}, input_shape=(1, 3, SIZE, SIZE))


class RunningInference:
    """A running worker; `feed` gives it frames of moving noise, so that the gate stays open."""

    def __init__(self, model: Path, *, attention: IdleCameras | None = None, **camera: Any) -> None:
        self.model = model
        self.diary = RecordedFindings()
        self.slots = LatestFrames(clock=SYSTEM_CLOCK)
        self.desk = AlarmController(
            settings=AlarmSettings(),
            saved=None,
            clock=SYSTEM_CLOCK,
            send=self.diary.alerts.append,
            tell=self.diary.tell,
        )
        self.worker = Worker(
            slots=self.slots,
            desk=self.desk,
            post=self.diary,
            clock=SYSTEM_CLOCK,
            load=self.load,
            device_id="test",
            attention=attention,
        )
        self.camera = Camera.model_validate({"source": "x", "detect_fps": 100, **camera})
        self.slots.add("a", 100)
        self.worker.add("a", self.camera, enabled=True)
        self.stage = ServiceThread(name="inference", run=self.worker.run)
        self._seq = 0
        self._random = np.random.default_rng(0)

    def load(self) -> PersonDetector:
        return load_detector(path=self.model, name=self.model.name, threads=1)

    def feed(self, camera: str = "a", *, still: bool = False) -> None:
        pixels = self._random.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
        if still:
            pixels[:] = 90
        now = SYSTEM_CLOCK.mono()
        self._seq += 1
        self.slots.put(
            Frame(
                camera=camera,
                seq=self._seq,
                captured_mono=now,
                captured_wall=SYSTEM_CLOCK.wall(),
                image=ArrayImage(pixels),
            )
        )

    def feed_until(self, condition: Callable[[], object], camera: str = "a", *, still: bool = False) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, "it did not come"
            self.feed(camera, still=still)
            time.sleep(0.02)

    def __enter__(self) -> RunningInference:
        self.stage.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stage.signal()
        self.slots.close()
        assert self.stage.join(DEADLINE_S)


def quiet_stop() -> threading.Event:
    stop = threading.Event()
    stop.set()
    return stop
