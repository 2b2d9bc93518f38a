"""From the config's model to a detector of several sizes, variants made on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from detector.config.model_settings import Model
from detector.core.types import ArrayImage, Image
from detector.inference.multi_size import MultiSizeDetector
from detector.models.loading import loader, shapeable, shaped_loader
from detector.models.registry import Resolved, load_registry
from support.networks import network


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path / "cache"))


def resolved(path: Path) -> Resolved:
    return Resolved(name="m", path=path, spec=None, entry=None)


def test_default_model_in_two_sizes(model_file: Callable[[str], Path], street: list[Image]) -> None:
    found = load_registry().resolve(model_file("yolox_tiny_humanart"))
    detector = shaped_loader(Model(threads=1), found, [(768, 576)])()
    assert isinstance(detector, MultiSizeDetector)
    detector.warm_up()
    assert set(detector.shapes) == {(416, 320)}
    boxes, scores, _ = detector.detect_image(street[0])
    plain = loader(Model(threads=1), found)()
    wanted, sure, _ = plain.detect_image(street[0])
    assert abs((scores >= 0.5).sum() - (sure >= 0.5).sum()) <= 1
    best = wanted[: int((sure >= 0.8).sum())]
    nearest = [np.abs(boxes - box).max(axis=1).min() for box in best]
    assert len(best) >= 2
    assert max(nearest) < 8, "the same persons, to a few px of 768"
    detector.detect_image(ArrayImage(np.zeros((720, 1280, 3), np.uint8)))
    assert set(detector.shapes) == {(416, 320), (416, 256)}
    plain.close()
    detector.close()


def test_a_model_that_is_not_understood_runs_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = network("dense", width=128, height=128)
    next(node for node in model.graph.node if node.op_type == "Sigmoid").op_type = "HardSigmoid"
    path = tmp_path / "odd.onnx"
    onnx.save(model, str(path))
    with caplog.at_level(logging.WARNING):
        detector = shaped_loader(Model(threads=1), resolved(path))()
        assert isinstance(detector, MultiSizeDetector)
        detector.detect_image(ArrayImage(np.zeros((48, 64, 3), np.uint8)))
    assert detector.shapes == ((128, 128),)
    assert "not understood" in caplog.text
    assert "128 x 128 px is used instead" in caplog.text
    detector.close()


def test_a_cache_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(network("dense", width=160, height=160), str(path))
    (tmp_path / "cache").write_text("a file in the folder's place", encoding="utf-8")
    detector = shaped_loader(Model(threads=1), resolved(path))()
    detector.detect_image(ArrayImage(np.zeros((48, 64, 3), np.uint8)))
    assert detector.input_size == (160, 128)
    detector.close()


def test_an_engine_backend_takes_the_model_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(network("dense", width=160, height=160), str(path))
    assert shapeable(Model(), resolved(path))
    assert not shapeable(Model(backend="tensorrt"), resolved(path))
    assert not shapeable(Model(), resolved(tmp_path / "m.engine"))
