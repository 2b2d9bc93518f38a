"""Suppressions over a real history, an inference loop that is not running, and pictures in a folder."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from detector.alerts.history import History
from detector.alerts.payloads import alert_payload, event_payload, record_document
from detector.alerts.snapshot_files import Snapshots
from detector.capture.latest_frames import LatestFrames
from detector.config.schema import AlarmSettings, Camera
from detector.core.types import Appearance, EventChange
from detector.inference.multi_size import AnyDetector
from detector.service.alarm_controller import AlarmController
from detector.service.camera_memory import CameraMemory
from detector.service.inference_loop import InferenceLoop
from detector.service.model_host import ModelHost
from detector.service.suppressions import Suppressions
from support.inference import RecordedFindings
from support.visits import WALL, StillClock, alert, event, frame

SEEN = Appearance(box=(0.2, 0.25, 0.3, 0.8), look=bytes(264))
JPEG = b"\xff\xd8 a picture \xff\xd9"


class Suppressing:
    """`visit` records one of camera `porch` as the service would; `saved` is what its memory keeps over a restart."""

    def __init__(self, folder: Path, *, saved: dict[str, Any] | None = None) -> None:
        self.clock = StillClock(wall=WALL + 100)
        self.saved: dict[str, Any] = saved or {}
        self.history = History(path=folder / "history.db", snapshot_dir=folder / "snapshots", clock=self.clock)
        weakref.finalize(self, self.history.close)
        self.loop = InferenceLoop(
            frames=LatestFrames(clock=self.clock),
            model=ModelHost(load=_no_model, clock=self.clock),
            alarm=AlarmController(
                settings=AlarmSettings(),
                saved=None,
                clock=self.clock,
                send=lambda _a: None,
                on_change=lambda _s, _d: None,
            ),
            findings=RecordedFindings(),
            clock=self.clock,
            device_id="test",
            memory=CameraMemory(saved=self.saved.get("memory"), cameras=("porch",), save=self.saved.__setitem__),
        )
        self.loop.add("porch", Camera.model_validate({"source": "x"}), enabled=True)
        self.pictures = folder / "suppressions"
        self.suppressions = Suppressions(
            history=self.history, loop=self.loop, pictures=Snapshots(self.pictures), afterwards=lambda run: run()
        )

    def visit(self, name: str, *, alerted: bool = True, seen: Appearance | None = SEEN, **changes: Any) -> None:
        made = event(id=name, appearance=seen, **changes)
        document = event_payload(EventChange(type="new", before=made, after=made, frame=frame()), device="test")
        self.history.record(document["after"] | record_document(made))
        if alerted:
            self.history.mark_alerted(alert_payload(alert(id=f"of-{name}", event_id=name), device="test", seq=1))
        self.history.save_snapshot(name, JPEG + name.encode())


def _no_model() -> AnyDetector:
    raise AssertionError("the loop does not run")
