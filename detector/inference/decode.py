"""A model's outputs become persons: boxes in input px and scores, nonsense refused.

Every decoder raises InferenceError on NaN, infinity, wrong shapes and scores outside 0..1: a broken
run must never read as "nobody there".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from detector.core.types import Floats

from . import decode_apart as apart
from .layout import STRIDES, Layout, LayoutKind, anchors
from .output_values import (
    Outputs,
    Persons,
    array,
    as_scores,
    best,
    corners,
    in_px,
    likely,
    suppressed,
)

Decoder = Callable[[Outputs, float], Persons]
_Decode = Callable[[Layout, float, Outputs, float], Persons]

IOU_DENSE, IOU_YOLOX = 0.7, 0.65  # what the families' own evaluations use
_BINS = 8  # NanoDet's distances: the expectation of 0..7


def make_decoder(layout: Layout, *, iou: float | None = None) -> Decoder:
    """The decoder of `layout`: (outputs, score floor) -> (boxes float32 [N,4] input px, scores float32 [N]).

    Persons only, score >= floor, best first, at most 300. `iou` replaces the family's NMS threshold.
    """
    usual = IOU_YOLOX if layout.kind.startswith("yolox") else IOU_DENSE
    if layout.kind == "yolox-boxes":
        usual = layout.iou or IOU_YOLOX
    limit = usual if iou is None else iou
    if layout.kind == "yolox-grid":
        return partial(_yolox_grid, layout, limit, *_grid(layout))
    if layout.kind == "gfl":
        return partial(_gfl, layout, limit, *apart.rounded_grid(layout))
    return partial(_DECODERS[layout.kind], layout, limit)


def _end_to_end(layout: Layout, iou: float, outputs: Outputs, floor: float) -> Persons:
    """Rows of a box, score, class (YOLOv10): no NMS needed, but for DeepStream-Yolo's export."""
    rows = array(outputs, layout, layout.boxes, (1, layout.rows, 6 + layout.extra))[0]
    scores = as_scores(layout, rows[:, 4])
    kept = likely(scores, floor)
    kept = kept[np.rint(rows[kept, 5]) == layout.person]  # quantised graphs give class numbers a little off
    boxes = in_px(layout, rows[kept, :4])
    return suppressed(layout, boxes, scores[kept], iou) if layout.suppress else best(layout, boxes, scores[kept])


def _dense(layout: Layout, iou: float, outputs: Outputs, floor: float) -> Persons:
    """Columns cx, cy, w, h and a score a class (YOLOv8, YOLO11), then NMS."""
    cells = layout.rows or anchors(layout.width, layout.height)
    columns = array(outputs, layout, layout.boxes, (1, 4 + (layout.classes or 1) + layout.extra, cells))[0]
    scores = as_scores(layout, columns[4 + layout.person])
    kept = likely(scores, floor)
    return suppressed(layout, in_px(layout, columns[:4, kept].T), scores[kept], iou)


def _rows(layout: Layout, iou: float, outputs: Outputs, floor: float) -> Persons:
    """Rows of a box and a score a class: a dense head turned round, with NMS, or RT-DETR's queries, without."""
    width = 4 + (layout.classes or 1) + layout.extra
    rows = array(outputs, layout, layout.boxes, (1, layout.rows, width))[0]
    scores = as_scores(layout, rows[:, 4 + layout.person])
    kept = likely(scores, floor)
    boxes = in_px(layout, rows[kept, :4])
    return suppressed(layout, boxes, scores[kept], iou) if layout.suppress else best(layout, boxes, scores[kept])


def _rows_objectness(layout: Layout, iou: float, outputs: Outputs, floor: float) -> Persons:
    """Rows cx, cy, w, h, objectness and a score a class, decoded (YOLOv5, YOLOv7, YOLOX), then NMS."""
    width = 5 + (layout.classes or 1) + layout.extra
    rows = array(outputs, layout, layout.boxes, (1, layout.rows, width))[0]
    scores = as_scores(layout, rows[:, 4]) * as_scores(layout, rows[:, 5 + layout.person])
    kept = likely(scores, floor)
    return suppressed(layout, in_px(layout, rows[kept, :4]), scores[kept], iou)


def _yolox_grid(layout: Layout, iou: float, cells: Floats, strides: Floats, outputs: Outputs, floor: float) -> Persons:
    """Rows dx, dy, log w, log h, objectness and a score a class, by grid cell (YOLOX, arXiv 2107.08430), then NMS."""
    rows = array(outputs, layout, layout.boxes, (1, len(cells), 5 + (layout.classes or 1)))[0]
    scores = as_scores(layout, rows[:, 4]) * as_scores(layout, rows[:, 5 + layout.person])
    kept = likely(scores, floor)
    stride = strides[kept]
    with np.errstate(over="ignore"):  # infinity is refused below
        sizes = np.exp(rows[kept, 2:4]) * stride
        boxes = corners((rows[kept, :2] + cells[kept]) * stride, sizes)
    return suppressed(layout, boxes, scores[kept], iou)


def _gfl(layout: Layout, iou: float, places: Floats, strides: Floats, outputs: Outputs, floor: float) -> Persons:
    """Rows of a score a class and 8 bins for each side's distance in strides (NanoDet, arXiv 2006.04388), then NMS."""
    classes = layout.classes or 1
    rows = array(outputs, layout, layout.boxes, (1, layout.rows, classes + 4 * _BINS))[0]
    scores = as_scores(layout, rows[:, layout.person])
    kept = likely(scores, floor)
    bins = rows[kept, classes:].reshape(-1, 4, _BINS)
    shares = np.exp(bins - bins.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    sides = (shares @ np.arange(_BINS, dtype=np.float32)) * strides[kept]
    boxes = np.concatenate((places[kept] - sides[:, :2], places[kept] + sides[:, 2:]), axis=1)
    return suppressed(layout, boxes, scores[kept], iou)


def _grid(layout: Layout) -> Persons:
    """Each cell's column and row [N,2], and its stride in px [N,1], strides one after the other."""
    cells, strides = [], []
    for stride in STRIDES:
        columns, rows = np.meshgrid(np.arange(layout.width // stride), np.arange(layout.height // stride))
        cells.append(np.stack((columns, rows), axis=-1).reshape(-1, 2))
        strides.append(np.full((columns.size, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


_DECODERS: dict[LayoutKind, _Decode] = {
    "end-to-end": _end_to_end,
    "dense": _dense,
    "rows": _rows,
    "rows-objectness": _rows_objectness,
    "yolox-nms": apart.dets_and_labels,
    "yolox-boxes": apart.boxes_and_columns,
    "boxes-scores": apart.boxes_and_rows,
    "detr": apart.queries,
    "detections": apart.detections,
    "flat-rows": apart.flat_rows,
    "flat-rows-score-class": apart.flat_rows,
}
