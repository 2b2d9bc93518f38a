"""Edited networks see what the originals see: on small ones with random weights and on the real ones."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from detector.core.errors import ModelError
from detector.core.types import Image
from detector.inference.factory import load_detector
from detector.inference.spec import InputSpec
from detector.models.graph import edit
from detector.models.graph.verify import difference
from support.networks import HEADS, NAMES, Head, network

REAL = ("yolox_tiny_humanart", "yolox_nano", "yolov10n", "yolov8n", "yolo11n")
UNIT = InputSpec(color="bgr", scale=1.0 / 255.0)
Model = onnx.ModelProto


def saved(model: Model, path: Path) -> Path:
    onnx.save(model, str(path))
    return path


def run(model: Model, picture: NDArray[Any]) -> list[NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(None, {session.get_inputs()[0].name: picture})
    return found


def picture_for(width: int, height: int) -> NDArray[Any]:
    return np.random.default_rng(0).random((1, 3, height, width), np.float32)


def facts(model: Model) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


@pytest.mark.parametrize("bins_last", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_small_networks_keep_their_persons(head: Head, bins_last: bool, tmp_path: Path, noise: list[Image]) -> None:
    whole = network(head, best=150, bins_last=bins_last)
    cut = edit.person_only(whole)
    found = difference(saved(whole, tmp_path / "a.onnx"), saved(cut, tmp_path / "b.onnx"), noise, spec=UNIT)
    assert found.persons > 20
    assert found.exact, found


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("width", "height"), [(128, 64), (64, 128), (96, 64), (160, 96)])
def test_another_size_is_as_if_built_for_it(head: Head, width: int, height: int) -> None:
    """The same weights built for that size from the start give the very same numbers."""
    made = edit.reshape(network(head), width, height)
    wanted = network(head, width=width, height=height)
    picture = picture_for(width, height)
    for got, expected in zip(run(made, picture), run(wanted, picture), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_an_open_batch_over_a_fixed_size() -> None:
    whole = network("dense")
    whole.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    picture = picture_for(128, 64)
    (got,) = run(edit.reshape(whole, 128, 64), picture)
    np.testing.assert_array_equal(got, run(network("dense", width=128, height=64), picture)[0])


@pytest.mark.parametrize("head", HEADS)
def test_order_of_steps_is_the_same(head: Head) -> None:
    whole = network(head)
    one = edit.reshape(edit.person_only(whole), 128, 64)
    other = edit.person_only(edit.reshape(whole, 128, 64))
    picture = picture_for(128, 64)
    for got, expected in zip(run(one, picture), run(other, picture), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_metadata_says_what_was_done() -> None:
    whole = network("dense")
    made = facts(edit.reshape(edit.person_only(whole), 128, 64))
    assert made["detector.steps"] == "person-only; size 128x64"
    assert len(made["detector.source_sha256"]) == 64
    assert ast.literal_eval(made["names"]) == {0: "person"}
    assert ast.literal_eval(made["imgsz"]) == [64, 128]
    assert facts(edit.person_only(network("yolox-nms")))["detector.nms_iou"] == "0.65"
    assert facts(whole) == {"names": NAMES}, "the original was changed"


def test_edits_leave_their_argument_alone() -> None:
    whole = network("end-to-end")
    before = whole.SerializeToString(deterministic=True)
    edit.person_only(whole)
    edit.reshape(whole, 64, 64)
    assert whole.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(("width", "height"), [(100, 64), (64, 0), (-32, 64)])
def test_sizes_off_the_grid_are_refused(width: int, height: int) -> None:
    with pytest.raises(ModelError, match="multiples of 32"):
        edit.reshape(network("dense"), width, height)


def test_a_second_cut_of_yolox_is_refused() -> None:
    with pytest.raises(ModelError, match="cut already"):
        edit.person_only(edit.person_only(network("yolox-nms")))


def test_unknown_tables_are_refused() -> None:
    whole = network("dense")
    centres = next(t for t in whole.graph.initializer if list(t.dims) == [1, 2, 189])
    shifted = onnx.numpy_helper.to_array(centres) + np.float32(0.25)
    centres.CopyFrom(onnx.numpy_helper.from_array(shifted, centres.name))
    with pytest.raises(ModelError, match="no known grid"):
        edit.reshape(whole, 64, 64)


def test_unknown_operators_in_the_class_branch_are_refused() -> None:
    whole = network("dense")
    sigmoid = next(node for node in whole.graph.node if node.op_type == "Sigmoid")
    sigmoid.op_type = "Softplus"
    with pytest.raises(ModelError, match=r"not understood \(Softplus"):
        edit.person_only(whole)


def test_classes_that_others_read_are_refused() -> None:
    whole = network("yolox-grid")
    scores = next(node for node in whole.graph.node if node.op_type == "Concat").input[2]
    whole.graph.node.append(onnx.helper.make_node("Identity", [scores], ["looked_at"]))
    concat = next(node for node in whole.graph.node if node.op_type == "Concat")
    concat.input[2] = scores
    whole.graph.node.append(onnx.helper.make_node("ReduceMax", ["looked_at"], ["unused"]))
    with pytest.raises(ModelError, match="more than one place"):
        edit.person_only(whole)


def test_boxes_that_depend_on_each_other_are_refused() -> None:
    """A softmax over the cells: taking the best cells first would change it."""
    whole = network("end-to-end")
    next(node for node in whole.graph.node if node.op_type == "Softmax").attribute[0].i = 3
    with pytest.raises(ModelError, match="Softmax between its grids and its boxes"):
        edit.person_only(whole)


def test_branches_are_refused() -> None:
    whole = network("dense")
    inner = onnx.helper.make_graph([], "inner", [], [])
    whole.graph.node.append(onnx.helper.make_node("If", ["images"], ["x"], then_branch=inner, else_branch=inner))
    with pytest.raises(ModelError, match="branches inside"):
        edit.reshape(whole, 64, 64)


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_models_keep_their_persons(
    name: str,
    model: Callable[[str], Model],
    model_file: Callable[[str], Path],
    photos: list[Image],
    street: list[Image],
    tmp_path: Path,
) -> None:
    """To what the order of float additions may cost; on x86 with AVX-512 that is nothing at all."""
    cut = saved(edit.person_only(model(name)), tmp_path / "cut.onnx")
    found = difference(model_file(name), cut, [*photos[:8], *street[:1]], floor=0.1)
    assert found.persons >= 15
    assert (found.missing, found.extra) == (0, 0)
    assert found.exact, found


@pytest.mark.parametrize("name", REAL)
def test_there_and_back_is_the_original(name: str, model: Callable[[str], Model]) -> None:
    """Two changes of size that cancel out: every constant that the first wrote, the second had to know."""
    whole = model(name)
    layout = edit.layout_of(whole)
    side, low = layout.width, 256 if layout.width == 416 else 384
    back = edit.reshape(edit.reshape(whole, side, low), side, side)
    picture = picture_for(side, side) * (255 if name.startswith("yolox") else 1)
    for got, expected in zip(run(back, picture), run(whole, picture), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_fixed_size_is_what_the_dynamic_model_gives(model: Callable[[str], Model]) -> None:
    whole = model("yolo11n")
    picture = picture_for(640, 384)
    (got,), (expected,) = run(edit.reshape(whole, 640, 384), picture), run(whole, picture)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("name", "size"), [("yolox_tiny_humanart", (416, 320)), ("yolov10n", (640, 480))])
def test_a_fitting_shape_sees_the_same_street(
    name: str,
    size: tuple[int, int],
    model: Callable[[str], Model],
    model_file: Callable[[str], Path],
    street: list[Image],
    tmp_path: Path,
    has_shared: bool,
) -> None:
    """768x576 is 4:3: the square input's padding is all that goes, so the sure persons stay."""
    shaped = saved(edit.reshape(model(name), *size), tmp_path / "shaped.onnx")
    counts = []
    for path in (model_file(name), shaped):
        detector = load_detector(path=path, name=name, score_floor=0.5, threads=1)
        counts.append([len(detector.detect_image(frame)[1]) for frame in street])
        detector.close()
    assert sum(counts[0]) >= (9 if has_shared else 6)
    assert all(abs(one - other) <= 1 for one, other in zip(*counts, strict=True)), counts
