from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from detector.capture.pictures import folder_pictures
from detector.core.errors import ModelError
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.models.accuracy.gate import compare
from detector.models.engines.prepare import Prepared, prepare
from detector.models.graph.edit import person_only
from detector.models.registry import load_registry
from support.brought import COCO, SIDE, centres, corners, joined_rows, scores, write
from support.graphs import write_constant, write_convolution
from support.networks import network

ROWS = {"output0": np.zeros((1, 300, 6), np.float32)}


def opened(prepared: Prepared, path: Path) -> PersonDetector:
    """What was prepared, run by ONNX Runtime."""
    model = onnx.load_from_string(prepared.content)
    onnx.helper.set_model_props(model, prepared.metadata)
    onnx.save(model, str(path))
    return load_detector(path=path, name=path.name, spec=prepared.spec, threads=2)


@pytest.mark.parametrize("name", ["yolox_tiny_humanart", "yolox_nano", "yolov10n"])
def test_half_precision_and_a_cut_nms_see_what_the_file_sees(
    model_file: Callable[[str], Path], people: Path, tmp_path: Path, name: str
) -> None:
    path = model_file(name)
    found = load_registry().resolve(path)
    reference = load_detector(path=path, name=name, spec=found.spec, threads=2)
    prepared = prepare(path, precision="fp16")
    assert prepared.spec == found.spec
    assert (prepared.precision, prepared.steps[-1]) == ("fp16", "fp16 cast")
    assert len(prepared.content) < 0.65 * path.stat().st_size, "the weights must be half as large"
    pictures = list(folder_pictures(people, count=8))
    verdict = compare(reference, opened(prepared, tmp_path / "half.onnx"), pictures)
    assert verdict.accepted, verdict
    assert verdict.score_delta_max is not None
    assert verdict.score_delta_max > 0, "it must not be the very same model"


def test_a_cut_nms_changes_nothing(model_file: Callable[[str], Path], people: Path, tmp_path: Path) -> None:
    path = model_file("yolox_tiny_humanart")
    prepared = prepare(path)
    assert prepared.steps == ("nms cut",)
    assert (prepared.layout.kind, prepared.layout.classes, prepared.layout.iou) == ("yolox-boxes", 1, 0.65)
    operators = {node.op_type for node in onnx.load_from_string(prepared.content).graph.node}
    assert "NonMaxSuppression" not in operators
    pictures = list(folder_pictures(people, count=8))
    verdict = compare(load_detector(path=path, name="nms"), opened(prepared, tmp_path / "cut.onnx"), pictures)
    assert (verdict.missed, verdict.extra, verdict.score_delta_max) == (0, 0, 0.0)
    assert verdict.iou_min == pytest.approx(1.0, abs=1e-4)


def test_a_batch_is_opened_and_proved(small_model: Path) -> None:
    prepared = prepare(small_model, batch=4)
    assert prepared.steps[-1] == "batch opened"
    (picture,) = onnx.load_from_string(prepared.content).graph.input
    assert picture.type.tensor_type.shape.dim[0].dim_value == 0


def test_a_model_that_mixes_the_pictures_of_a_batch_is_refused(tmp_path: Path) -> None:
    """A person-only head picks its cells out of all of them."""
    onnx.save(person_only(network("end-to-end")), str(tmp_path / "m.onnx"))
    with pytest.raises(ModelError, match=r"m\.onnx cannot take several pictures at once .*: build it with batch 1"):
        prepare(tmp_path / "m.onnx", batch=2)


def test_a_precision_that_the_file_cannot_have(tmp_path: Path) -> None:
    path = write_constant(tmp_path / "m.onnx", ROWS)
    with pytest.raises(ModelError, match=r"m\.onnx is an fp32 model: build it so, or export it as int8 first"):
        prepare(path, precision="int8")
    quantised = write_convolution(tmp_path / "q.onnx", quantised=True)
    with pytest.raises(ModelError, match="is an int8 model"):
        prepare(quantised, precision="fp16")


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model at all")
    with pytest.raises(ModelError, match="is not an ONNX model, or is cut short"):
        prepare(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="unknown outputs"):
        prepare(write_convolution(tmp_path / "c.onnx"))


def test_what_a_run_settles_goes_with_the_engine(tmp_path: Path) -> None:
    """Boxes in 0..1, which the shapes do not show."""
    rows = joined_rows(centres(corners(8400)) / SIDE, scores(8400, 80)).transpose(0, 2, 1)
    made = prepare(write(tmp_path / "m.onnx", {"output0": rows}, COCO))
    assert made.metadata["detector.units"] == "share"
    assert made.metadata["detector.layout"] == "dense"
