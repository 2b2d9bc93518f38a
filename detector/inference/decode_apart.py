"""Decoders of heads whose boxes, scores and classes are outputs of their own, and of rows without a batch axis."""

from __future__ import annotations

import math

import numpy as np

from detector.core.errors import InferenceError
from detector.core.types import Floats

from .layout import Layout, anchors
from .output_values import (
    Outputs,
    Persons,
    array,
    as_scores,
    best,
    class_numbers,
    in_px,
    in_range,
    likely,
    sigmoid,
    suppressed,
)

_P6_STRIDES = (8, 16, 32, 64)
_SIX_COLUMNS = ((0, 4, 5), (2, 1, 0))


def dets_and_labels(layout: Layout, _iou: float, outputs: Outputs, floor: float) -> Persons:
    """Rows x1, y1, x2, y2, score, and a class for each in a second output; NMS is in the graph."""
    rows = array(outputs, layout, layout.boxes, (1, None, 5))[0]
    labels = array(outputs, layout, layout.labels or 0, (1, len(rows)))[0]
    scores = as_scores(layout, rows[:, 4])
    kept = likely(scores, floor)
    kept = kept[np.rint(labels[kept]) == layout.person]
    return best(layout, in_px(layout, rows[kept, :4]), scores[kept])


def boxes_and_columns(layout: Layout, iou: float, outputs: Outputs, floor: float) -> Persons:
    """Boxes [1,N,4], and scores [1,classes,N] in a second output (YOLOX cut before its NMS, PP-YOLOE), then NMS."""
    cells = layout.rows or anchors(layout.width, layout.height)
    rows = array(outputs, layout, layout.boxes, (1, cells, 4))[0]
    columns = array(outputs, layout, layout.scores or 0, (1, layout.classes or 1, cells))[0]
    scores = as_scores(layout, columns[layout.person])
    kept = likely(scores, floor)
    return suppressed(layout, in_px(layout, rows[kept]), scores[kept], iou)


def boxes_and_rows(layout: Layout, iou: float, outputs: Outputs, floor: float) -> Persons:
    """Boxes [1,N,4], and scores [1,N,classes] in a second output (YOLO-NAS, DAMO-YOLO), then NMS."""
    rows = array(outputs, layout, layout.boxes, (1, layout.rows, 4))[0]
    scores = array(outputs, layout, layout.scores or 0, (1, len(rows), layout.classes))[0]
    chosen = as_scores(layout, scores[:, layout.person])
    kept = likely(chosen, floor)
    return suppressed(layout, in_px(layout, rows[kept]), chosen[kept], iou)


def queries(layout: Layout, _iou: float, outputs: Outputs, floor: float) -> Persons:
    """Rows cx, cy, w, h in 0..1 of the input, and a score a class for each in a second output (DETR's): no NMS.

    Of a query's scores the person's alone counts, as in RT-DETR's own choice of the best (arXiv 2304.08069).
    """
    rows = array(outputs, layout, layout.boxes, (1, None, 4))[0]
    scores = array(outputs, layout, layout.scores or 0, (1, len(rows), layout.classes))[0]
    chosen = in_range(_activated(layout, scores))
    kept = likely(chosen, floor)
    return best(layout, in_px(layout, rows[kept]), chosen[kept])


def _activated(layout: Layout, scores: Floats) -> Floats:
    """The person's scores [Q] in 0..1 of what the model gives [Q,classes]."""
    person = scores[:, layout.person]
    if layout.activation == "none":
        return person
    if layout.activation == "sigmoid":
        return sigmoid(person)
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    share: Floats = raised[:, layout.person] / raised.sum(axis=1)
    return share


def detections(layout: Layout, _iou: float, outputs: Outputs, floor: float) -> Persons:
    """Boxes [1,N,4] or [N,4], scores and classes [1,N] or [N], perhaps how many of them count (SSD, RT-DETR)."""
    batched = np.ndim(outputs[layout.boxes]) == 3 if layout.boxes < len(outputs) else True
    first: tuple[int | None, ...] = (1,) if batched else ()
    rows = array(outputs, layout, layout.boxes, (*first, None, 4)).reshape(-1, 4)
    scores = array(outputs, layout, layout.scores or 0, (*first, len(rows))).reshape(-1)
    labels = array(outputs, layout, layout.labels or 0, (*first, len(rows))).reshape(-1)
    real = len(rows)
    if layout.count is not None:
        real = _how_many(array(outputs, layout, layout.count, np.shape(outputs[layout.count])), len(rows))
    chosen = as_scores(layout, scores[:real])
    kept = likely(chosen, floor)
    kept = kept[class_numbers(labels[kept]) == layout.person]
    return best(layout, in_px(layout, rows[kept]), chosen[kept])


def flat_rows(layout: Layout, _iou: float, outputs: Outputs, floor: float) -> Persons:
    """Rows [N,columns] of all pictures together, box, score and class where `layout.columns` says."""
    box, score, label = layout.columns
    width = 6 if (box, score, label) in _SIX_COLUMNS else 7
    four = layout.boxes < len(outputs) and np.ndim(outputs[layout.boxes]) == 4
    rows = array(outputs, layout, layout.boxes, (1, 1, None, 7) if four else (None, width))
    rows = rows.reshape(-1, rows.shape[-1])
    labels = _flat_classes(
        layout, rows[:, label]
    )  # of all rows: read the wrong way round, no score may reach the floor
    scores = as_scores(layout, rows[:, score])
    kept = likely(scores, floor)
    kept = kept[labels[kept] == layout.person]
    return best(layout, in_px(layout, rows[kept, box : box + 4]), scores[kept])


def _flat_classes(layout: Layout, values: Floats) -> Floats:
    try:
        return class_numbers(values)
    except InferenceError:
        if layout.kind != "flat-rows" or layout.columns in _SIX_COLUMNS:
            raise
        raise InferenceError(
            "the model gave class numbers that are no whole numbers: if its score comes before its class, say so: "
            "model.output.layout: flat-rows-score-class"
        ) from None


def _how_many(count: Floats, most: int) -> int:
    value = float(count.reshape(-1)[0]) if count.size else 0.0
    if not (count.size == 1 and 0 <= value <= most and math.isclose(value, round(value), abs_tol=1e-3)):
        raise InferenceError(f"the model says that it gives {value:g} boxes of {most}: is its output of another kind?")
    return round(value)


def rounded_grid(layout: Layout) -> tuple[Floats, Floats]:
    """The places of NanoDet's cells in px [N,2] and their strides [N,1]; grids are rounded up."""
    strides = _P6_STRIDES if layout.rows == _cells(layout, _P6_STRIDES) else _P6_STRIDES[:3]
    places, found = [], []
    for stride in strides:
        across, down = math.ceil(layout.width / stride), math.ceil(layout.height / stride)
        columns, rows = np.meshgrid(np.arange(across), np.arange(down))
        places.append(np.stack((columns, rows), axis=-1).reshape(-1, 2) * stride)
        found.append(np.full((columns.size, 1), stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(found).astype(np.float32)


def _cells(layout: Layout, strides: tuple[int, ...]) -> int:
    return sum(math.ceil(layout.width / stride) * math.ceil(layout.height / stride) for stride in strides)
