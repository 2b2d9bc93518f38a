from __future__ import annotations

from pathlib import Path

import pytest

from detector.config import document as config_file
from detector.core.errors import ConfigError
from support.inference import WALKER, end_to_end_model
from support.reloading import Reloading


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
