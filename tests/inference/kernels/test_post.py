from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector.core.errors import InferenceError
from detector.core.types import ArrayImage, Floats
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.decode import IOU_YOLOX, make_decoder
from detector.inference.kernels.launch import FloatType
from detector.inference.kernels.post import cut_tensors, head_tensors, persons
from detector.inference.layout import Layout, anchors, default_spec, find_layout
from detector.inference.nms import best_first, nms
from detector.inference.preprocess import Letterbox
from support.heads import DENSE, END_TO_END, GRID, PostKernels, crowd, post_of
from support.hostkernels import HostKernels, address

CELLS = anchors(DENSE.width, DENSE.height)
LAYOUTS = pytest.mark.parametrize("layout", [DENSE, GRID, END_TO_END], ids=lambda layout: layout.kind)

CANDIDATES = 1024  # as in post.cu: the best ones that NMS looks at
TRUNCATED = 8  # of the status: more candidates than NMS looks at


def assert_same(found: tuple[Floats, Floats], expected: tuple[Floats, Floats]) -> None:
    """The same persons in the same order, but for the last digits of the boxes (expf)."""
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("floor", [0.25, 0.1, 0.001])
@pytest.mark.parametrize("model", ["yolov8n", "yolo11n", "yolox_nano", "yolov10n"])
def test_real_outputs_equal_the_cpus(
    post_host: HostKernels, outputs: dict[str, tuple[Layout, list[NDArray[Any]]]], model: str, floor: float
) -> None:
    layout, found = outputs[model]
    decode, total = make_decoder(layout), 0
    for output in found:
        result = post_of(layout, output, floor=floor)(post_host)
        expected = decode([output], floor)
        assert_same(persons(result[0]), expected)
        total += len(expected[0])
    assert total >= 4  # the bus picture's


@pytest.fixture(scope="module")
def outputs(shared: Path, photographs: list[Path]) -> dict[str, tuple[Layout, list[NDArray[Any]]]]:
    """By model: its layout, and what it says of some pictures."""
    pictures = [cv2.imread(str(path)) for path in photographs[:4]]
    made = {}
    for model in ("yolov8n", "yolo11n", "yolox_nano", "yolov10n"):
        backend = OnnxRuntimeBackend(path=shared / "models" / f"{model}.onnx")
        try:
            layout = find_layout(backend.inputs, backend.outputs, backend.metadata)
            letterbox = Letterbox(width=layout.width, height=layout.height, spec=default_spec(layout))
            tensors = (letterbox(ArrayImage(np.asarray(picture, np.uint8)))[0] for picture in pictures)
            made[model] = layout, [backend.run(tensor)[0].copy() for tensor in tensors]
        finally:
            backend.close()
    return made


def test_real_outputs_in_half_precision(
    post_host: HostKernels, outputs: dict[str, tuple[Layout, list[NDArray[Any]]]]
) -> None:
    for layout, found in outputs.values():
        half = found[0].astype(np.float16)
        assert_same(persons(post_of(layout, half, floor=0.1)(post_host)[0]), make_decoder(layout)([half], 0.1))


@settings(max_examples=60, deadline=None)
@given(
    layout=st.sampled_from([DENSE, GRID, END_TO_END]),
    seed=st.integers(0, 2**31),
    people=st.integers(1, 30),
    busy=st.floats(0, 1),
    floor=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    order=st.integers(0, 4),
)
def test_any_output_equals_the_cpus(
    post_host: HostKernels, layout: Layout, seed: int, people: int, busy: float, floor: float, order: int
) -> None:
    output = crowd(layout, CELLS, seed=seed, people=people, busy=busy)
    result = post_of(layout, output, floor=floor)(post_host, order=order)
    assert_same(persons(result[0]), make_decoder(layout)([output], floor))


@LAYOUTS
def test_order_of_threads_does_not_matter(post_host: HostKernels, layout: Layout) -> None:
    work = post_of(layout, crowd(layout, CELLS, seed=5, people=12), floor=0.1)
    first = work(post_host).copy()
    assert first["count"][0] > 3
    for order in (1, 2, 3):
        np.testing.assert_array_equal(work(post_host, order=order), first)


@LAYOUTS
def test_batch_is_each_picture_alone(post_host: HostKernels, layout: Layout) -> None:
    output = np.concatenate([crowd(layout, CELLS, seed=seed, busy=0.1 + 0.3 * seed) for seed in range(3)])
    work = post_of(layout, output, floor=0.2)
    for _ in range(2):  # the scratch is left as it was found
        results = work(post_host)
        for result, single in zip(results, output, strict=True):
            assert_same(persons(result), make_decoder(layout)([single[None]], 0.2))
    assert work.clean()


def test_one_class_alone(post_host: HostKernels) -> None:
    layout = Layout(kind="dense", width=64, height=96, classes=1)
    output = crowd(layout, CELLS, seed=1)
    assert output.shape == (1, 5, CELLS)
    assert_same(persons(post_of(layout, output, floor=0.1)(post_host)[0]), make_decoder(layout)([output], 0.1))


@pytest.mark.parametrize("busy", [0.9, 0.999])
@pytest.mark.parametrize("order", [0, 2])
def test_of_too_many_candidates_the_best_are_taken(post_host: HostKernels, busy: float, order: int) -> None:
    layout = Layout(kind="dense", width=320, height=320, classes=1)
    output = crowd(layout, anchors(320, 320), seed=7, people=40, busy=busy)
    result = post_of(layout, output, floor=0.05)(post_host, order=order)[0]
    candidates = int((output[0, 4] >= np.float32(0.05)).sum())
    assert int(result["candidates"]) == candidates > CANDIDATES
    assert int(result["status"]) & TRUNCATED
    best = best_first(output[0, 4], CANDIDATES)
    rest = output.copy()
    rest[0, 4, np.setdiff1d(np.arange(rest.shape[2]), best)] = 0
    assert_same(persons(result), make_decoder(layout)([rest], 0.05))


def test_at_most_300_persons(post_host: HostKernels) -> None:
    layout = Layout(kind="dense", width=320, height=320, classes=1)
    cells = anchors(320, 320)
    output = np.zeros((1, 5, cells), np.float32)
    output[0, 0], output[0, 1], output[0, 2:4] = np.arange(cells) % 320, np.arange(cells) // 320 * 9, 0.5
    output[0, 4, :700] = np.linspace(0.2, 0.9, 700)
    result = post_of(layout, output, floor=0.1)(post_host)[0]
    assert int(result["count"]) == 300
    assert not int(result["status"]) & TRUNCATED
    assert_same(persons(result), make_decoder(layout)([output], 0.1))


@pytest.mark.parametrize("size", [0.0, -5.0, 1e-30])
def test_boxes_of_no_area(post_host: HostKernels, size: float) -> None:
    output = crowd(DENSE, CELLS, seed=3)
    output[0, 2, ::3] = size
    assert_same(persons(post_of(DENSE, output, floor=0.1)(post_host)[0]), make_decoder(DENSE)([output], 0.1))


@LAYOUTS
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.5, -0.5])
def test_scores_that_are_none_are_told(post_host: HostKernels, layout: Layout, value: float) -> None:
    output = crowd(layout, CELLS, seed=2)
    at = {"dense": (0, 5, 77), "yolox-grid": (0, 77, 5), "end-to-end": (0, 77, 4)}[layout.kind]
    output[at] = value
    assert_both_refuse(post_host, layout, output)


@LAYOUTS
@pytest.mark.parametrize("value", [np.nan, np.inf, -1e9, 1e9])
def test_boxes_that_are_none_are_told(post_host: HostKernels, layout: Layout, value: float) -> None:
    if layout.kind == "yolox-grid" and value == -1e9:
        value = np.nan  # the logarithm of no width at all
    output = crowd(layout, CELLS, seed=2)
    output[(0, 2, 77) if layout.kind == "dense" else (0, 77, 2)] = value
    # What makes it a person, and one that is seen.
    if layout.kind == "dense":
        output[0, 5, 77] = 0.9
    else:
        output[0, 77, 4:6] = (1.0, 0.9) if layout.kind == "yolox-grid" else (0.9, 0.0)
    assert_both_refuse(post_host, layout, output)


def test_objectness_and_labels_that_are_none_are_told(post_host: HostKernels) -> None:
    output = crowd(GRID, CELLS, seed=2)
    output[0, 9, 4] = np.nan
    assert_both_refuse(post_host, GRID, output)
    output = crowd(END_TO_END, CELLS, seed=2)
    output[0, 9, 4:] = 0.9, np.nan
    assert_both_refuse(post_host, END_TO_END, output)


def assert_both_refuse(post_host: HostKernels, layout: Layout, output: Floats) -> None:
    work = post_of(layout, output, floor=0.1)
    with pytest.raises(InferenceError):
        make_decoder(layout)([output], 0.1)
    with pytest.raises(InferenceError):
        persons(work(post_host)[0])
    assert work.clean()  # the next frame begins anew


def test_scores_a_little_out_of_bounds_are_clipped(post_host: HostKernels) -> None:
    output = crowd(DENSE, CELLS, seed=2)
    output[0, 5, 40:42] = 1.005, -0.005
    assert_same(persons(post_of(DENSE, output, floor=0.0)(post_host)[0]), make_decoder(DENSE)([output], 0.0))


def test_nobody(post_host: HostKernels) -> None:
    boxes, scores = persons(post_of(DENSE, np.zeros((1, 7, CELLS), np.float32), floor=0.1)(post_host)[0])
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_yolox_cut_before_its_nms(post_host: HostKernels, dtype: FloatType) -> None:
    layout = Layout(kind="yolox-nms", width=64, height=96, labels=1)
    rows = np.concatenate([crowd(END_TO_END, CELLS, seed=seed, people=9) for seed in (4, 5)])
    boxes = np.ascontiguousarray(rows[:, :, :4], dtype)
    scores = np.zeros((2, 3, CELLS), dtype)
    scores[:, 0], scores[:, 2] = 0.99, rows[:, :, 4]
    tensors = cut_tensors(address(boxes), address(scores), cells=CELLS, classes=3, person=2, dtype=dtype)
    work = PostKernels(tensors=tensors, layout=layout, floor=0.3, kept=(boxes, scores), count=2, dtype=dtype)
    results = work(post_host)
    for result, corners, sure in zip(results, boxes.astype(np.float32), scores[:, 2].astype(np.float32), strict=True):
        likely = (sure >= np.float32(0.3)).nonzero()[0]
        kept = likely[nms(corners[likely], sure[likely], iou=IOU_YOLOX)]
        assert_same(persons(result), (corners[kept], sure[kept]))


def test_real_yolox_cut_before_its_nms(
    post_host: HostKernels, model_file: Callable[[str], Path], photographs: list[Path], tmp_path: Path
) -> None:
    """The default model: what its graph's NMS is given, and what its graph makes of that."""
    whole = onnx.load(model_file("yolox_tiny_humanart"))
    (suppression,) = (node for node in whole.graph.node if node.op_type == "NonMaxSuppression")
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in suppression.input[:2])
    onnx.save(whole, tmp_path / "cut.onnx")
    backend = OnnxRuntimeBackend(path=tmp_path / "cut.onnx")
    try:
        layout = find_layout(backend.inputs, backend.outputs[:2], backend.metadata)
        letterbox = Letterbox(width=layout.width, height=layout.height, spec=default_spec(layout))
        picture = np.asarray(cv2.imread(str(photographs[0])), np.uint8)
        outputs = [output.copy() for output in backend.run(letterbox(ArrayImage(picture))[0])]
    finally:
        backend.close()
    boxes, scores = outputs[2:]
    tensors = cut_tensors(
        address(boxes), address(scores), cells=boxes.shape[1], classes=scores.shape[1], dtype="float32"
    )  # fmt: skip
    work = PostKernels(tensors=tensors, layout=layout, floor=0.1, kept=(boxes, scores))
    found, expected = persons(work(post_host)[0]), make_decoder(layout)(outputs[:2], 0.1)
    assert len(expected[0]) >= 2
    assert_same(found, expected)


def test_layouts_that_are_not_decoded_here_are_refused() -> None:
    with pytest.raises(ValueError, match="yolox-nms"):
        head_tensors(Layout(kind="yolox-nms", width=64, height=96), 4096)


def test_count_that_is_none_is_refused(post_host: HostKernels) -> None:
    result = post_of(DENSE, crowd(DENSE, CELLS, seed=2), floor=0.1)(post_host)
    result["count"] = 301
    with pytest.raises(InferenceError, match="301"):
        persons(result[0])


@pytest.mark.parametrize("unusual", [{"units": "share"}, {"activation": "sigmoid"}, {"extra": 51}, {"form": "xyxy"}])
def test_uncommon_heads_are_left_to_the_cpu(unusual: dict[str, Any]) -> None:
    layout = Layout(kind="dense", width=64, height=96, classes=3, **unusual)
    with pytest.raises(ValueError, match="none that is decoded on the device"):
        head_tensors(layout, 0)
