"""Every decoder against one written box by box, and against every kind of nonsense."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector.core.errors import InferenceError
from detector.core.types import Floats
from detector.inference.decode import make_decoder
from detector.inference.layout import Layout, anchors

SIDE = 64
CELLS = anchors(SIDE, SIDE)
END_TO_END = Layout(kind="end-to-end", width=SIDE, height=SIDE)
DENSE = Layout(kind="dense", width=SIDE, height=SIDE, classes=3, person=1)
GRID = Layout(kind="yolox-grid", width=SIDE, height=SIDE, classes=2, person=1)
GRAPH_NMS = Layout(kind="yolox-nms", width=SIDE, height=SIDE, boxes=0, labels=1)
CUT = Layout(kind="yolox-boxes", width=SIDE, height=SIDE, classes=2, person=1, boxes=0, scores=1, iou=0.5)
Outputs = tuple[NDArray[Any], ...]
Row = tuple[float, float, float, float, float]


def end_to_end(seed: int, count: int = 20) -> Outputs:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, SIDE, (count, 4))
    return (np.concatenate((corners, rng.uniform(0, 1, (count, 1)), rng.integers(0, 3, (count, 1))), 1)[None],)


def dense(seed: int) -> Outputs:
    rng = np.random.default_rng(seed)
    return (np.concatenate((rng.uniform(5, SIDE, (4, CELLS)), rng.uniform(0, 1, (3, CELLS))))[None],)


def grid(seed: int) -> Outputs:
    rng = np.random.default_rng(seed)
    return (np.concatenate((rng.normal(0, 1, (CELLS, 4)), rng.uniform(0, 1, (CELLS, 3))), 1)[None],)


def graph_nms(seed: int, count: int = 20) -> Outputs:
    rng = np.random.default_rng(seed)
    dets = np.concatenate((rng.uniform(0, SIDE, (count, 4)), rng.uniform(0, 1, (count, 1))), 1)
    return dets[None], rng.integers(0, 3, (1, count))


def cut(seed: int) -> Outputs:
    rng = np.random.default_rng(seed)
    near = rng.uniform(0, SIDE, (CELLS, 2))
    boxes = np.concatenate((near, near + rng.uniform(1, SIDE / 2, (CELLS, 2))), 1)
    return boxes[None], rng.uniform(0, 1, (1, 2, CELLS))


def decode(layout: Layout, outputs: Outputs, floor: float = 0.25) -> tuple[Floats, Floats]:
    cast = tuple(array.astype(np.float32) if array.dtype == np.float64 else array for array in outputs)
    return make_decoder(layout)(cast, floor)


def centred(x: float, y: float, w: float, h: float, score: float) -> Row:
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2, score


def suppressed(rows: list[Row], limit: float) -> list[Row]:
    def overlap(a: Row, b: Row) -> float:
        w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        if w <= 0 or h <= 0:
            return 0.0
        return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)

    kept: list[Row] = []
    for row in rows:
        if all(overlap(row, other) <= limit for other in kept):
            kept.append(row)
    return kept


def naive_end_to_end(outputs: Outputs, floor: float) -> list[Row]:
    rows = outputs[0][0].tolist()
    return sorted([tuple(r[:5]) for r in rows if r[4] >= floor and r[5] == 0], key=lambda r: -r[4])


def naive_dense(outputs: Outputs, floor: float) -> list[Row]:
    columns = outputs[0][0].T.tolist()
    rows = [centred(c[0], c[1], c[2], c[3], c[4 + DENSE.person]) for c in columns if c[4 + DENSE.person] >= floor]
    return suppressed(sorted(rows, key=lambda r: -r[4]), 0.7)


def naive_grid(outputs: Outputs, floor: float) -> list[Row]:
    rows, values = [], iter(outputs[0][0].tolist())
    for stride in (8, 16, 32):
        for y in range(SIDE // stride):
            for x in range(SIDE // stride):
                dx, dy, log_w, log_h, there, _, person = next(values)
                if there * person >= floor:
                    size = math.exp(log_w) * stride, math.exp(log_h) * stride
                    rows.append(centred((x + dx) * stride, (y + dy) * stride, *size, there * person))
    return suppressed(sorted(rows, key=lambda r: -r[4]), 0.65)


def naive_graph_nms(outputs: Outputs, floor: float) -> list[Row]:
    pairs = zip(outputs[0][0].tolist(), outputs[1][0].tolist(), strict=True)
    return sorted([tuple(r) for r, label in pairs if r[4] >= floor and label == 0], key=lambda r: -r[4])


def naive_cut(outputs: Outputs, floor: float) -> list[Row]:
    pairs = zip(outputs[0][0].tolist(), outputs[1][0, CUT.person].tolist(), strict=True)
    rows = [(x1, y1, x2, y2, score) for (x1, y1, x2, y2), score in pairs if score >= floor]
    return suppressed(sorted(rows, key=lambda r: -r[4]), 0.5)


Naive = Callable[[Outputs, float], list[Row]]
Make = Callable[[int], Outputs]
FAMILIES: list[Any] = [
    pytest.param(END_TO_END, end_to_end, naive_end_to_end, id="end-to-end"),
    pytest.param(DENSE, dense, naive_dense, id="dense"),
    pytest.param(GRID, grid, naive_grid, id="yolox-grid"),
    pytest.param(GRAPH_NMS, graph_nms, naive_graph_nms, id="yolox-nms"),
    pytest.param(CUT, cut, naive_cut, id="yolox-boxes"),
]
MAKERS: list[Any] = [pytest.param(*family.values[:2], id=family.id) for family in FAMILIES]


@pytest.mark.parametrize(("layout", "make", "naive"), FAMILIES)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), floor=st.sampled_from([0.01, 0.1, 0.3, 0.7, 1.0]))
def test_equals_the_naive_one(layout: Layout, make: Make, naive: Naive, seed: int, floor: float) -> None:
    outputs = tuple(a.astype(np.float32) if a.dtype == np.float64 else a for a in make(seed))
    boxes, scores = make_decoder(layout)(outputs, floor)
    wanted = naive(outputs, floor)
    assert boxes.dtype == scores.dtype == np.float32
    assert boxes.shape == (len(wanted), 4)
    np.testing.assert_allclose(scores, [row[4] for row in wanted], rtol=1e-5)
    np.testing.assert_allclose(boxes, np.array([row[:4] for row in wanted]).reshape(-1, 4), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("layout", "make"), MAKERS)
def test_nobody_is_an_empty_result_of_the_right_shape(layout: Layout, make: Make) -> None:
    boxes, scores = decode(layout, make(0), floor=1.0)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


@pytest.mark.parametrize(("layout", "make"), MAKERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, -1, 4])
def test_not_a_number_is_refused(layout: Layout, make: Make, bad: float, where: int) -> None:
    outputs = make(0)
    outputs[0].reshape(-1)[where] = bad
    with pytest.raises(InferenceError, match="NaN or infinite"):
        decode(layout, outputs)


@pytest.mark.parametrize(("layout", "make"), MAKERS)
def test_all_nan_is_never_nobody(layout: Layout, make: Make) -> None:
    outputs = make(0)
    outputs[0][:] = np.nan
    with pytest.raises(InferenceError):
        decode(layout, outputs)


@pytest.mark.parametrize(("layout", "make"), MAKERS)
@pytest.mark.parametrize("wrong", ["rows", "rank", "batch", "transposed", "missing", "more"])
def test_wrong_shapes_are_refused(layout: Layout, make: Make, wrong: str) -> None:
    first, *rest = make(0)
    outputs = {
        "rows": (first[:, :, :-1], *rest),
        "rank": (first[0], *rest),
        "batch": (np.concatenate((first, first)), *rest),
        "transposed": (first.transpose(0, 2, 1), *rest),
        "missing": (),
        "more": (first, *rest, first),
    }[wrong]
    with pytest.raises(InferenceError, match=r"output"):
        decode(layout, outputs)


@pytest.mark.parametrize(
    ("layout", "make", "index"),
    [
        pytest.param(END_TO_END, end_to_end, np.s_[0, 3, 4], id="end-to-end"),
        pytest.param(DENSE, dense, np.s_[0, 5, 7], id="dense"),
        pytest.param(GRID, grid, np.s_[0, 3, 4], id="yolox-grid objectness"),
        pytest.param(GRID, grid, np.s_[0, 3, 6], id="yolox-grid person"),
        pytest.param(GRAPH_NMS, graph_nms, np.s_[0, 3, 4], id="yolox-nms"),
    ],
)
@pytest.mark.parametrize("score", [-3.0, 1.2, 300.0])
def test_scores_outside_their_range_are_refused(layout: Layout, make: Make, index: Any, score: float) -> None:
    outputs = make(0)
    outputs[0][index] = score
    with pytest.raises(InferenceError, match="outside 0 to 1"):
        decode(layout, outputs)


def test_a_score_a_hair_above_one_is_one() -> None:
    outputs = end_to_end(0)
    outputs[0][0, 0, 4:] = 1.001, 0
    outputs[0][0, 1, 4:] = -0.001, 0
    _, scores = decode(END_TO_END, outputs, floor=0.0)
    assert scores[0] == 1.0
    assert scores.min() == 0.0


@pytest.mark.parametrize(("layout", "make"), MAKERS)
def test_boxes_far_away_are_refused(layout: Layout, make: Make) -> None:
    outputs = make(0)
    if layout.kind == "yolox-grid":
        outputs[0][0, 0, 2:] = 50.0, 1.0, 1.0, 1.0, 1.0  # a width that was already decoded
    elif layout.kind == "dense":
        outputs[0][0, :, 0] = 1e6, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0
    else:
        outputs[0][0, 0] = [-1e6, 0, 1, 1, 1, 0][: outputs[0].shape[2]]
    if layout.scores is not None:
        outputs[1][0, layout.person, 0] = 1.0
    if layout.labels is not None:
        outputs[1][0, 0] = 0
    with pytest.raises(InferenceError, match="far outside"):
        decode(layout, outputs)


def test_a_size_beyond_floats_is_refused() -> None:
    outputs = grid(0)
    outputs[0][0, 0] = 0.0, 0.0, 1000.0, 1.0, 1.0, 1.0, 1.0
    with pytest.raises(InferenceError, match="far outside"):
        decode(GRID, outputs)


def test_numbers_of_another_kind_are_refused() -> None:
    with pytest.raises(InferenceError, match="complex"):
        make_decoder(END_TO_END)((np.zeros((1, 5, 6), np.complex64),), 0.1)


@pytest.mark.parametrize(("layout", "make"), MAKERS)
def test_half_precision_is_taken(layout: Layout, make: Make) -> None:
    halves = tuple(a.astype(np.float16) if a.dtype == np.float64 else a for a in make(0))
    boxes, scores = make_decoder(layout)(halves, 0.3)
    assert boxes.dtype == scores.dtype == np.float32
    assert len(scores) > 0


def test_scores_of_a_cut_model_are_checked_too() -> None:
    for bad, told in ((1.5, "outside 0 to 1"), (np.nan, "NaN")):
        boxes, scores = cut(0)
        scores[0, CUT.person, 3] = bad
        with pytest.raises(InferenceError, match=told):
            decode(CUT, (boxes, scores))
    boxes, scores = cut(0)
    with pytest.raises(InferenceError, match="shape"):
        decode(CUT, (boxes, scores[:, :1]))


def test_labels_in_the_first_output() -> None:
    dets, labels = graph_nms(5)
    swapped = Layout(kind="yolox-nms", width=SIDE, height=SIDE, boxes=1, labels=0)
    np.testing.assert_array_equal(decode(swapped, (labels, dets))[0], decode(GRAPH_NMS, (dets, labels))[0])


def test_labels_of_another_length_are_refused() -> None:
    dets, labels = graph_nms(5)
    with pytest.raises(InferenceError, match="shape"):
        decode(GRAPH_NMS, (dets, labels[:, :-1]))


def test_no_rows_at_all_is_nobody() -> None:
    empty = np.zeros((1, 0, 5), np.float32), np.zeros((1, 0), np.int64)
    boxes, scores = decode(GRAPH_NMS, empty)
    assert (boxes.shape, scores.shape) == ((0, 4), (0,))


def test_at_most_three_hundred_and_the_best_of_them() -> None:
    rows = end_to_end(0, count=1000)
    rows[0][0, :, 5] = 0
    _, scores = decode(END_TO_END, rows, floor=0.0)
    np.testing.assert_array_equal(scores, np.sort(rows[0][0, :, 4].astype(np.float32))[::-1][:300])


@pytest.mark.parametrize(("layout", "make"), MAKERS[1:3])
def test_iou_can_be_chosen(layout: Layout, make: Make) -> None:
    outputs = tuple(a.astype(np.float32) for a in make(0))
    strict = make_decoder(layout, iou=0.05)(outputs, 0.01)
    loose = make_decoder(layout, iou=0.99)(outputs, 0.01)
    assert len(strict[1]) < len(loose[1])


def test_a_class_number_a_little_off_still_counts() -> None:
    outputs = end_to_end(0)
    outputs[0][0, 0] = 1, 1, 9, 9, 0.99, 0.004
    boxes, _ = decode(END_TO_END, outputs, floor=0.98)
    np.testing.assert_array_equal(boxes[0], [1, 1, 9, 9])
