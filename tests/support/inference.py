"""An inference loop with real frames, pipeline and model, and a sink that records what it is given."""

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
from detector.core.types import AlarmState, Alert, ArrayImage, EventChange, Frame, TamperAlert
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.service.alarm_controller import AlarmController
from detector.service.camera_memory import CameraMemory
from detector.service.inference_loop import CameraChannel, InferenceLoop
from detector.service.model_host import ModelHost
from detector.service.model_probes import ModelProbes
from support.graphs import write_constant

SIZE = 64
DEADLINE_S = 20.0
WALKER = [20.0, 10.0, 40.0, 60.0, 0.9, 0.0]


@dataclass(slots=True)
class RecordedFindings:
    """A `FindingsSink`, and an alarm's `send` and `on_change`."""

    changes: list[EventChange] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    counts: list[tuple[str, int]] = field(default_factory=list)
    motions: list[tuple[str, bool]] = field(default_factory=list)
    states: list[AlarmState] = field(default_factory=list)
    tampers: list[TamperAlert] = field(default_factory=list)

    def change(self, change: EventChange) -> None:
        self.changes.append(change)

    def people(self, camera: str, count: int) -> None:
        self.counts.append((camera, count))

    def motion(self, camera: str, moving: bool) -> None:
        self.motions.append((camera, moving))

    def tamper(self, alert: TamperAlert) -> None:
        self.tampers.append(alert)

    def on_change(self, state: AlarmState, _snapshot: object) -> None:
        self.states.append(state)


def end_to_end_model(path: Path, rows: list[list[float]]) -> Path:
    """A YOLOv10-like model of 64x64 px that sees `rows` (x1, y1, x2, y2, score, class) in every picture."""
    answer = np.zeros((1, 300, 6), np.float32)
    answer[0, : len(rows)] = np.reshape(rows, (-1, 6))
    return write_constant(path, {"output0": answer}, input_shape=(1, 3, SIZE, SIZE))


class RunningInference:
    """A running loop; `feed` gives it frames of moving noise, so that the motion gate stays open."""

    def __init__(
        self, model: Path, *, idle: IdleCameras | None = None, memory: CameraMemory | None = None, **camera: Any
    ) -> None:
        self.path = model
        self.findings = RecordedFindings()
        self.frames = LatestFrames(clock=SYSTEM_CLOCK)
        self.alarm = AlarmController(
            settings=AlarmSettings(),
            saved=None,
            clock=SYSTEM_CLOCK,
            send=self.findings.alerts.append,
            on_change=self.findings.on_change,
        )
        self.probes = ModelProbes()
        self.model = ModelHost(load=self.load, clock=SYSTEM_CLOCK)
        self.loop = InferenceLoop(
            frames=self.frames,
            model=self.model,
            alarm=self.alarm,
            findings=self.findings,
            clock=SYSTEM_CLOCK,
            device_id="test",
            idle=idle,
            memory=memory,
            probes=self.probes,
        )
        self.camera = Camera.model_validate({"source": "x", "detect_fps": 100, **camera})
        self.frames.add("a", 100)
        self.loop.add("a", self.camera, enabled=True)
        self.thread = ServiceThread(name="inference", run=self.loop.run)
        self._seq = 0
        self._random = np.random.default_rng(0)

    def channel(self, camera: str = "a") -> CameraChannel:
        channel = self.loop.channel(camera)
        assert channel is not None
        return channel

    def load(self) -> PersonDetector:
        return load_detector(path=self.path, name=self.path.name, threads=1)

    def feed(self, camera: str = "a", *, still: bool = False) -> None:
        pixels = np.full((SIZE, SIZE, 3), 90, np.uint8)
        if not still:  # noise all over would be a change of the light
            pixels[:, : SIZE // 3] = self._random.integers(0, 255, (SIZE, SIZE // 3, 3), dtype=np.uint8)
        now = SYSTEM_CLOCK.mono()
        self._seq += 1
        self.frames.put(
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
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.signal()
        self.frames.close()
        assert self.thread.join(DEADLINE_S)


def quiet_stop() -> threading.Event:
    stop = threading.Event()
    stop.set()
    return stop
