"""Decodes a model's outputs to persons: boxes in input px, and scores.

Every decoder raises InferenceError for NaN, infinity, wrong shapes and scores outside 0..1: a failed run
must never look like an empty picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.core.errors import InferenceError
from detector.core.types import Floats

from .layout import STRIDES, Layout, anchors
from .nms import best_first, nms

Outputs = Sequence[NDArray[Any]]
Persons = tuple[Floats, Floats]
Decoder = Callable[[Outputs, float], Persons]

IOU_DENSE, IOU_YOLOX = 0.7, 0.65  # the NMS thresholds of the families' own evaluations
_SCORE_SLACK = 0.01  # half precision may exceed 0..1 by a little
_MAX_SPREAD = 100.0  # input sizes; coordinates beyond are invalid, such as exp() of sizes that are already decoded


def make_decoder(layout: Layout, *, iou: float | None = None) -> Decoder:
    """The decoder of `layout`: (outputs, score floor) -> (boxes float32 [N,4] input px, scores float32 [N]).

    Only persons, score >= floor, best first, at most 300. `iou` replaces the family's NMS threshold.
    """
    if layout.kind == "end-to-end":
        return partial(_end_to_end, layout)
    if layout.kind == "dense":
        return partial(_dense, layout, IOU_DENSE if iou is None else iou)
    if layout.kind == "yolox-grid":
        corners, strides = _grid(layout)
        return partial(_yolox_grid, layout, IOU_YOLOX if iou is None else iou, corners, strides)
    if layout.kind == "detr":
        return partial(_queries, layout)
    if layout.kind == "yolox-boxes":
        return partial(_yolox_boxes, layout, (layout.iou or IOU_YOLOX) if iou is None else iou)
    return partial(_yolox_nms, layout)


def _end_to_end(layout: Layout, outputs: Outputs, floor: float) -> Persons:
    """Rows x1, y1, x2, y2, score, class (YOLOv10): no NMS needed."""
    rows = _array(outputs, layout, 0, (1, None, 6))[0]
    scores = _scores(rows[:, 4])
    kept = _likely(scores, floor)
    kept = kept[_classes(rows[kept, 5]) == layout.person]
    return _best_rows(layout, rows, scores, kept)


def _dense(layout: Layout, iou: float, outputs: Outputs, floor: float) -> Persons:
    """Columns cx, cy, w, h and one score per class (YOLOv8, YOLO11), then NMS."""
    cells = anchors(layout.width, layout.height)
    columns = _array(outputs, layout, 0, (1, 4 + (layout.classes or 1), cells))[0]
    scores = _scores(columns[4 + layout.person])
    kept = _likely(scores, floor)
    boxes = _corners(columns[:2, kept].T, columns[2:4, kept].T)
    return _after_nms(layout, boxes, scores[kept], iou)


def _yolox_grid(
    layout: Layout, iou: float, corners: Floats, strides: Floats, outputs: Outputs, floor: float
) -> Persons:
    """Rows dx, dy, log w, log h, objectness, one score per class, by grid cell (YOLOX, arXiv 2107.08430), then NMS."""
    rows = _array(outputs, layout, 0, (1, len(corners), 5 + (layout.classes or 1)))[0]
    scores = _scores(rows[:, 4]) * _scores(rows[:, 5 + layout.person])
    kept = _likely(scores, floor)
    stride = strides[kept]
    with np.errstate(over="ignore"):  # infinity is rejected below
        sizes = np.exp(rows[kept, 2:4]) * stride
        boxes = _corners((rows[kept, :2] + corners[kept]) * stride, sizes)
    return _after_nms(layout, boxes, scores[kept], iou)


def _yolox_nms(layout: Layout, outputs: Outputs, floor: float) -> Persons:
    """Rows x1, y1, x2, y2, score, and a class for each in a second output; NMS is in the graph."""
    rows = _array(outputs, layout, layout.boxes, (1, None, 5))[0]
    labels = _array(outputs, layout, layout.labels or 0, (1, len(rows)))[0]
    scores = _scores(rows[:, 4])
    kept = _likely(scores, floor)
    kept = kept[_classes(labels[kept]) == layout.person]
    return _best_rows(layout, rows, scores, kept)


def _yolox_boxes(layout: Layout, iou: float, outputs: Outputs, floor: float) -> Persons:
    """Rows x1, y1, x2, y2, and one score per class in a second output (YOLOX without its NMS), then NMS."""
    cells = anchors(layout.width, layout.height)
    rows = _array(outputs, layout, layout.boxes, (1, cells, 4))[0]
    columns = _array(outputs, layout, layout.scores or 0, (1, layout.classes or 1, cells))[0]
    scores = _scores(columns[layout.person])
    kept = _likely(scores, floor)
    return _after_nms(layout, rows[kept], scores[kept], iou)


def _queries(layout: Layout, outputs: Outputs, floor: float) -> Persons:
    """Rows cx, cy, w, h in 0..1 of the input, and one score per class in a second output (DETR): no NMS.

    Only a query's score for person counts, as in RT-DETR's own selection (arXiv 2304.08069).
    """
    rows = _array(outputs, layout, layout.boxes, (1, None, 4))[0]
    scores = _array(outputs, layout, layout.scores or 0, (1, len(rows), layout.classes))[0]
    likely = _scores(_activated(layout, scores))
    kept = _likely(likely, floor)
    size = np.array((layout.width, layout.height), np.float32)
    boxes = _corners(rows[kept, :2] * size, rows[kept, 2:4] * size)
    order = best_first(likely[kept])
    _check_range(layout, boxes)
    return boxes[order], likely[kept][order]


def _activated(layout: Layout, scores: Floats) -> Floats:
    """The scores for person [Q] in 0..1, from the model's output [Q,classes]."""
    person = scores[:, layout.person]
    if layout.activation == "none":
        return person
    if layout.activation == "sigmoid":
        made: Floats = np.float32(0.5) * (np.tanh(person * np.float32(0.5)) + np.float32(1.0))  # exp() would overflow
        return made
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    share: Floats = raised[:, layout.person] / raised.sum(axis=1)
    return share


def _grid(layout: Layout) -> Persons:
    """Each cell's column and row [N,2], and its stride in px [N,1], in order of the strides."""
    corners, strides = [], []
    for stride in STRIDES:
        columns, rows = np.meshgrid(np.arange(layout.width // stride), np.arange(layout.height // stride))
        corners.append(np.stack((columns, rows), axis=-1).reshape(-1, 2))
        strides.append(np.full((columns.size, 1), stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _array(outputs: Outputs, layout: Layout, index: int, shape: tuple[int | None, ...]) -> Floats:
    """Output `index` as finite float32 of `shape`; None is any length. Raises InferenceError."""
    if len(outputs) != (1 if layout.labels is None and layout.scores is None else 2):
        raise InferenceError(f"the model gave {len(outputs)} outputs where its layout has another number")
    found = np.asarray(outputs[index])
    fits = found.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, found.shape, strict=True))
    if not fits:
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise InferenceError(f"the model gave an output of shape {list(found.shape)} where [{wanted}] was expected")
    if found.dtype.kind not in "fiu":
        raise InferenceError(f"the model gave {found.dtype} where numbers were expected")
    values = found.astype(np.float32, copy=False)
    # Both propagate NaN, and cost less than a mask as large as the output.
    if values.size and not (math.isfinite(values.min()) and math.isfinite(values.max())):
        raise InferenceError("the model gave NaN or infinite numbers: its result cannot be used")
    return values


def _scores(values: Floats) -> Floats:
    """`values` as scores 0..1."""
    if values.size == 0:
        return values
    low, high = float(values.min()), float(values.max())
    if low < -_SCORE_SLACK or high > 1.0 + _SCORE_SLACK:
        raise InferenceError(f"the model gave scores from {low:.4g} to {high:.4g}, outside 0 to 1")
    if low >= 0.0 and high <= 1.0:
        return values
    clipped: Floats = np.minimum(np.maximum(values, np.float32(0.0)), np.float32(1.0))
    return clipped


def _likely(scores: Floats, floor: float) -> NDArray[np.intp]:
    return (scores >= floor).nonzero()[0]


def _classes(values: Floats) -> Floats:
    """Class numbers, rounded: quantised graphs give them with small errors."""
    return np.rint(values)


def _corners(centers: Floats, sizes: Floats) -> Floats:
    half = sizes * np.float32(0.5)
    return np.concatenate((centers - half, centers + half), axis=1)


def _after_nms(layout: Layout, boxes: Floats, scores: Floats, iou: float) -> Persons:
    _check_range(layout, boxes)
    kept = nms(boxes, scores, iou=iou)
    return boxes[kept], scores[kept]


def _best_rows(layout: Layout, rows: Floats, scores: Floats, kept: NDArray[np.intp]) -> Persons:
    order = kept[best_first(scores[kept])]
    boxes = rows[order, :4]
    _check_range(layout, boxes)
    return boxes, scores[order]


def _check_range(layout: Layout, boxes: Floats) -> None:
    limit = _MAX_SPREAD * max(layout.width, layout.height)
    # Written so that NaN is rejected too.
    if boxes.size and not (boxes.max() <= limit and boxes.min() >= -limit):
        raise InferenceError("the model gave boxes far outside the picture: is its output of another kind?")
