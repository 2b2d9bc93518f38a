"""The probe at load, with real models and the real clip, and with models that cannot be trusted."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

import numpy as np
import pytest

from detector.core.errors import ModelError
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.inference.spec import InputSpec
from detector.models import probe
from detector.models.registry import load_registry
from support.graphs import write_constant

MODELS = ("yolox_tiny_humanart", "yolox_nano", "yolov8n", "yolo11n", "yolov10n")


@pytest.fixture(scope="session")
def clip() -> Path:
    """The sample clip, which the tests' set-up fetches."""
    found = load_registry().clip_here("bikes")
    if found is None:
        pytest.skip("the sample clip is not in the cache: detector demo fetches it")
    return found


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: Path) -> Path:
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def opened(path: Path, spec: InputSpec | None = None) -> PersonDetector:
    return load_detector(path=path, name=path.stem, spec=spec, threads=1)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_of_the_registry_sees_the_person(shared: Path, clip: Path, model: str) -> None:
    path = shared / "models" / f"{model}.onnx"
    found = probe.probed(opened(path, load_registry().resolve(path).spec), clip=lambda: clip)
    assert found is not None
    assert (found.persons, found.known, found.empty) == (1, 1, 0)
    assert found.best > 0.5
    assert found.words == "sees 1 of 1 persons"


def test_wrongly_prepared_pictures_are_noticed(shared: Path, clip: Path) -> None:
    """YOLOv8 fed with 0..255 instead of 0..1, as a missing key would."""
    path = shared / "models" / "yolov8n.onnx"
    detector = opened(path, InputSpec(color="bgr", scale=1.0, mean=(20000.0, 20000.0, 20000.0)))
    with pytest.raises(ModelError, match=r"yolov8n sees (nobody|\d+ persons).*model\.input and model\.output"):
        probe.probed(detector, clip=lambda: clip)


def test_who_sees_somebody_in_an_empty_picture_is_refused(tmp_path: Path, clip: Path) -> None:
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, :2] = [[10, 10, 30, 60, 0.9, 0], [40, 10, 60, 60, 0.8, 0]]
    detector = opened(write_constant(tmp_path / "m.onnx", {"output0": rows}))
    with pytest.raises(
        ModelError, match=r"m sees 2 persons \(score 0\.90\) in a picture of grey or noise.*model\.probe"
    ):
        probe.probed(detector, clip=lambda: clip)


def test_who_sees_nobody_is_refused(tmp_path: Path, clip: Path) -> None:
    detector = opened(write_constant(tmp_path / "m.onnx", {"output0": np.zeros((1, 300, 6), np.float32)}))
    with pytest.raises(ModelError, match="m sees nobody in a picture of a person"):
        probe.probed(detector, clip=lambda: clip)


def test_without_the_clip_nobody_is_judged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    detector = opened(write_constant(tmp_path / "m.onnx", {"output0": np.zeros((1, 300, 6), np.float32)}))
    assert probe.probed(detector) is None, "the cache of this test is empty"
    assert "the sample clip is not in the cache" in caplog.text


def test_it_is_done_once_for_a_file(shared: Path, clip: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shared / "models" / "yolox_nano.onnx"
    detector = opened(path)
    first = probe.probed(detector, clip=lambda: clip)
    monkeypatch.setattr(PersonDetector, "detect_image", lambda *_: pytest.fail("it was shown again"))
    assert probe.probed(detector, clip=lambda: pytest.fail("the clip was read")) == first
    (kept,) = (cache / "probes").iterdir()
    kept.write_text("{}")
    monkeypatch.undo()
    monkeypatch.setenv("DETECTOR_CACHE", str(cache))
    again = probe.probed(detector, clip=lambda: clip)
    assert again is not None
    assert first is not None
    assert (again.persons, again.best) == (first.persons, first.best), "a damaged result is made again"


def test_a_cache_that_cannot_be_written_is_no_reason(shared: Path, clip: Path, cache: Path) -> None:
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file where the folder should be")
    assert probe.probed(opened(shared / "models" / "yolox_nano.onnx"), clip=lambda: clip) is not None


def test_a_damaged_clip_is_as_none(shared: Path, tmp_path: Path) -> None:
    broken = tmp_path / "bikes.mp4"
    broken.write_bytes(b"no clip")
    assert probe.probed(opened(shared / "models" / "yolox_nano.onnx"), clip=lambda: broken) is None


def test_the_known_frame_is_the_one_that_was_looked_at(clip: Path) -> None:
    from detector.capture.pictures import clip_pictures

    frame = next(itertools.islice(clip_pictures(clip), 28, None))
    assert (frame.width, frame.height) == (640, 272)
