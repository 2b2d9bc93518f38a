"""Which layer costs what: the measure itself, and that a layer broken on purpose is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from detector.core.errors import ModelError
from detector.core.types import ArrayImage
from detector.inference.spec import InputSpec
from detector.models.graph.qdq import ONNXRUNTIME
from detector.models.graph.quantize import MIN_PICTURES, Calibrated
from detector.optimize.quantize.sensitivity import Detected, SensitivitySet, error, measure
from support.networks import network, noise_pictures

UNIT = InputSpec(color="bgr", scale=1.0 / 255.0)
BOXES = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
SCORES = np.array([0.8, 0.2], np.float32)


def sample(folder: Path, key: str = "k") -> SensitivitySet:
    return SensitivitySet(name="m", spec=UNIT, pictures=noise_pictures(2), key=key, cache=folder)


@pytest.fixture(scope="module")
def calibrated() -> Calibrated:
    return Calibrated.of(network("yolox-grid"), noise_pictures(MIN_PICTURES), spec=UNIT)


def seen(boxes: np.ndarray, scores: np.ndarray) -> Detected:
    return [(boxes.astype(np.float32), scores.astype(np.float32))]


def test_nothing_moved_is_no_error() -> None:
    assert error(seen(BOXES, SCORES), seen(BOXES[::-1], SCORES[::-1])) == pytest.approx(0.0, abs=1e-6)


def test_a_lost_person_counts_two_by_its_score() -> None:
    assert error(seen(BOXES, SCORES), seen(BOXES[:1], SCORES[:1])) == pytest.approx(2 * 0.2)
    assert error(seen(BOXES, SCORES), seen(BOXES[:0], SCORES[:0])) == pytest.approx(2.0)


def test_boxes_and_scores_that_move_add_up() -> None:
    moved = BOXES + np.array([[1, 0, 1, 0], [0, 0, 0, 0]], np.float32)  # IoU 9/11
    found = error(seen(BOXES, SCORES), seen(moved, SCORES - np.array([0.0, 0.1], np.float32)))
    assert found == pytest.approx(0.8 * (1 - 9 / 11) + 0.2 * 0.1, abs=1e-6)


def test_the_layer_that_was_broken_comes_first(calibrated: Calibrated, tmp_path: Path) -> None:
    names = [layer.name for layer in calibrated.layers]
    broken = calibrated.layers[1]
    before = dict(calibrated.ranges)
    low, high = before[broken.output]
    calibrated.ranges[broken.output] = (low / 50, high / 50)  # everything beyond is clipped
    try:
        ranked = measure(names, lambda layer: calibrated.probe(ONNXRUNTIME, layer), sample(tmp_path))
    finally:
        calibrated.ranges.update(before)
    assert ranked[0].layer == broken.name
    assert ranked[0].error > 3 * ranked[1].error
    assert sorted(item.layer for item in ranked) == sorted(names)


def test_what_was_measured_is_not_measured_again(calibrated: Calibrated, tmp_path: Path) -> None:
    names = [layer.name for layer in calibrated.layers]
    asked: list[str | None] = []

    def probe(layer: str | None) -> onnx.ModelProto:
        asked.append(layer)
        return calibrated.probe(ONNXRUNTIME, layer)

    first = measure(names, probe, sample(tmp_path))
    assert asked == [None, *names]
    assert measure(names, probe, sample(tmp_path)) == first
    assert len(asked) == len(names) + 1
    (file,) = (tmp_path / "sensitivity").iterdir()
    file.write_text(file.read_text()[:40])  # cut short
    assert measure(names, probe, sample(tmp_path)) == first
    assert len(asked) == 2 * len(names) + 2
    measure(names, probe, sample(tmp_path, "other"))
    assert len(asked) == 3 * len(names) + 3, "another key is another measurement"


def test_pictures_without_anybody_are_refused(calibrated: Calibrated, tmp_path: Path) -> None:
    empty = network("dense")
    for tensor in empty.graph.initializer:
        if list(tensor.dims) == [5]:  # the class logits' biases
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(5, -100, np.float32), tensor.name))
    grey = SensitivitySet(
        name="m", spec=UNIT, pictures=[ArrayImage(np.zeros((96, 96, 3), np.uint8))], key="g", cache=tmp_path
    )
    with pytest.raises(ModelError, match="show nobody"):
        measure(["any"], lambda _layer: empty, grey)


def test_a_layer_that_takes_the_networks_sense_counts_as_all_lost(calibrated: Calibrated, tmp_path: Path) -> None:
    """Its layout stays the source's where the numbers fit several, and what fits none is no reason to stop."""
    names = [layer.name for layer in calibrated.layers]

    def probe(layer: str | None) -> onnx.ModelProto:
        model = calibrated.probe(ONNXRUNTIME, layer)
        if layer == names[0]:
            for node in model.graph.node:  # sizes as if they were decoded already: no grid's offsets
                node.output[:] = ["before" if name == model.graph.output[0].name else name for name in node.output]
            wide = onnx.numpy_helper.from_array(np.array(1e4, np.float32), "wide")
            model.graph.initializer.append(wide)
            model.graph.node.append(onnx.helper.make_node("Mul", ["before", "wide"], [model.graph.output[0].name]))
        return model

    ranked = measure(names, probe, sample(tmp_path))
    assert (ranked[0].layer, ranked[0].error) == (names[0], 2.0)
