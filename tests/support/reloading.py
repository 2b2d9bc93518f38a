"""A configuration reloader over real parts and a real file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detector.analytics.evidence_curves import EvidenceCurves
from detector.config import document as config_file
from detector.config.schema import AlarmSettings, Camera
from detector.models.autotune.status import AutotuneStatus
from detector.service.alarm_controller import AlarmController
from detector.service.camera_status import CameraStatusPublisher
from detector.service.camera_switches import CameraSwitches
from detector.service.config_store import ConfigStore
from detector.service.model_host import ModelHost
from detector.service.reload import ConfigReloader
from support.inference import WALKER, end_to_end_model
from support.service import CaptureFigures, make_arming
from support.visits import StillClock


@dataclass
class Reloading:
    """A reloader over real parts and a real file; cameras and announcements are recorded."""

    folder: Path
    captured: list[dict[str, Camera]] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    announced: int = 0

    def __post_init__(self) -> None:
        self.path = self.folder / "detector.yaml"
        self.model_file = end_to_end_model(self.folder / "first.onnx", [WALKER])
        document = self.document({"porch": {"source": "a.mp4"}, "gate": {"source": "b.mp4"}})
        config_file.write(self.path, document)
        clock = StillClock()
        self.store = ConfigStore(document=document, path=self.path, config=config_file.validate(document))
        self.model = ModelHost(load=self._unused, clock=clock)
        self.alarm = AlarmController(
            settings=AlarmSettings(), saved=None, clock=clock, send=lambda _a: None, on_change=lambda _s, _d: None
        )
        self.arming = make_arming(clock, alarm=self.alarm)
        self.curves: list[EvidenceCurves | None] = []
        self.reloader = ConfigReloader(
            use_curves=self.curves.append,
            store=self.store,
            model=self.model,
            autotune=AutotuneStatus(),
            alarm=self.alarm,
            arming=self.arming,
            cameras=self,
            switches=CameraSwitches(saved=None, channels=self, save=lambda _n, _d: None, publish=lambda _c, _on: None),
            status=CameraStatusPublisher(
                cameras=CaptureFigures().stats,
                publish=lambda _c, _w: None,
                end_visits=lambda _c: None,
                clock=clock,
            ),
            remove_camera=self.removed.append,
            announce=self._announce,
        )

    def document(self, cameras: dict[str, Any], model: Path | None = None, **more: Any) -> dict[str, Any]:
        name = str(model or self.model_file)
        return {"model": {"name": name, "backend": "onnxruntime", "threads": 1}, "cameras": cameras, **more}

    def _unused(self) -> Any:
        raise AssertionError("the first model is not asked for here")

    def _announce(self) -> None:
        self.announced += 1

    def apply(self, wanted: Mapping[str, Camera]) -> None:
        self.captured.append(dict(wanted))

    def add(self, name: str, _settings: Camera, *, enabled: bool) -> None:
        assert enabled
        self.channels.append(name)

    def remove(self, name: str) -> None:
        self.channels.append(f"-{name}")

    def switch(self, name: str, *, enabled: bool) -> None: ...
