from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from detector.analytics.evidence_curves import EvidenceCurves
from detector.config import document as config_file
from detector.config.schema import AlarmSettings, Camera
from detector.core.errors import ConfigError
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


@pytest.fixture
def reloading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reloading:
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path / "cache"))
    return Reloading(tmp_path)


def test_only_what_changed_is_opened_again(reloading: Reloading) -> None:
    new = reloading.document({"porch": {"source": "a.mp4"}, "yard": {"source": "c.mp4"}})
    assert reloading.reloader.apply(new) == []
    assert reloading.channels == ["yard"]
    assert reloading.removed == ["gate"]
    assert list(reloading.captured[-1]) == ["porch", "yard"]
    assert reloading.announced == 1
    assert config_file.read(reloading.path) == new
    assert list(reloading.store.config.cameras) == ["porch", "yard"]


def test_an_invalid_one_changes_nothing(reloading: Reloading) -> None:
    before = reloading.path.read_bytes()
    with pytest.raises(ConfigError, match="detect_fps"):
        reloading.reloader.apply(reloading.document({"porch": {"source": "a.mp4", "detect_fps": -1}}))
    assert (reloading.captured, reloading.announced, reloading.path.read_bytes()) == ([], 0, before)


def test_a_model_that_cannot_be_loaded_changes_nothing(reloading: Reloading, tmp_path: Path) -> None:
    before = reloading.path.read_bytes()
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(ConfigError) as caught:
        reloading.reloader.apply(reloading.document({"porch": {"source": "a.mp4"}}, broken))
    assert caught.value.key == "model"
    assert (reloading.captured, reloading.path.read_bytes()) == ([], before)


def test_another_model_waits_for_the_next_frame(reloading: Reloading, tmp_path: Path) -> None:
    second = end_to_end_model(tmp_path / "second.onnx", [WALKER])
    reloading.reloader.apply(reloading.document({"porch": {"source": "a.mp4"}}, second))
    reloading.model.take_next()
    assert reloading.model.detector is not None
    assert reloading.model.detector.model_name == "second.onnx"
    reloading.model.close()


def test_what_waits_for_a_restart_is_named(reloading: Reloading) -> None:
    cameras = {"porch": {"source": "a.mp4"}, "gate": {"source": "b.mp4"}}
    new = reloading.document(cameras, mqtt={"topic_prefix": "other"}, api={"port": 9090})
    assert reloading.reloader.apply(new) == ["mqtt", "api"]


def test_a_file_that_cannot_be_written_changes_nothing(reloading: Reloading, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _document: object, *, copies: Path) -> None:
        raise ConfigError("no space left on device")

    monkeypatch.setattr(config_file, "write", full)
    with pytest.raises(ConfigError, match="no space"):
        reloading.reloader.apply(reloading.document({"yard": {"source": "c.mp4"}}))
    assert list(reloading.store.config.cameras) == ["porch", "gate"]
    assert reloading.captured == []
