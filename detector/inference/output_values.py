"""The numbers of a model's outputs, checked: a broken run must never read as "nobody there".

All raise InferenceError on NaN, infinity, wrong shapes, scores outside 0..1 and boxes that cannot be boxes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.core.errors import InferenceError
from detector.core.types import Floats

from .layout import Layout
from .nms import best_first, nms

Outputs = Sequence[NDArray[Any]]
Persons = tuple[Floats, Floats]

_SCORE_SLACK = 0.01  # half precision may overshoot a little
_MAX_SPREAD = 100.0  # boxes this many inputs away are no boxes; exp() of already decoded sizes lands there
_CLASS_SLACK = 0.1  # quantised graphs give class numbers a little off
SHARE_LIMIT = 2.0
"""Boxes of nothing but numbers below this are shares of the picture, not px."""


def array(outputs: Outputs, layout: Layout, index: int, shape: tuple[int | None, ...]) -> Floats:
    """Output `index` as finite float32 of `shape`, None being any length."""
    wanted = layout.outputs or (1 if layout.labels is None and layout.scores is None else 2)
    if len(outputs) != wanted:
        raise InferenceError(f"the model gave {len(outputs)} outputs where its layout has another number")
    found = np.asarray(outputs[index])
    fits = found.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, found.shape, strict=True))
    if not fits:
        expected = ", ".join("any" if side is None else str(side) for side in shape)
        raise InferenceError(f"the model gave an output of shape {list(found.shape)} where [{expected}] was expected")
    if found.dtype.kind not in "fiu":
        raise InferenceError(f"the model gave {found.dtype} where numbers were expected")
    values = found.astype(np.float32, copy=False)
    # Both carry NaN through, and cost less than a mask as large as the output.
    if values.size and not (math.isfinite(values.min()) and math.isfinite(values.max())):
        raise InferenceError("the model gave NaN or infinite numbers: its result cannot be used")
    return values


def as_scores(layout: Layout, values: Floats) -> Floats:
    """What the model gives for persons as scores 0..1: through the sigmoid where these are logits."""
    return in_range(sigmoid(values) if layout.activation == "sigmoid" else values)


def in_range(values: Floats) -> Floats:
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


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-values)), without overflow."""
    made: Floats = np.float32(0.5) * (np.tanh(values * np.float32(0.5)) + np.float32(1.0))
    return made


def likely(scores: Floats, floor: float) -> NDArray[np.intp]:
    """Where the scores reach the floor."""
    return (scores >= floor).nonzero()[0]


def class_numbers(values: Floats) -> Floats:
    """Class numbers as whole ones; raises InferenceError where they are none."""
    whole = np.rint(values)
    if values.size and float(np.abs(values - whole).max()) > _CLASS_SLACK:
        raise InferenceError(
            "the model gave class numbers that are no whole numbers: is its output of another kind (model.output.layout)?"
        )
    return whole


def corners(centers: Floats, sizes: Floats) -> Floats:
    """Boxes x1, y1, x2, y2 of centres and sizes, [N,2] each."""
    half = sizes * np.float32(0.5)
    return np.concatenate((centers - half, centers + half), axis=1)


def in_px(layout: Layout, rows: Floats) -> Floats:
    """Boxes [N,4] as `layout` says them, as corners in px of the input."""
    form, boxes = layout.box_form, rows
    if form == "cxcywh":
        if layout.box_units == "share":
            size = np.array((layout.width, layout.height), np.float32)
            return corners(rows[:, :2] * size, rows[:, 2:4] * size)
        return corners(rows[:, :2], rows[:, 2:4])
    if form == "yxyx":
        boxes = rows[:, [1, 0, 3, 2]]
    if layout.box_units == "share":
        boxes = boxes * np.array((layout.width, layout.height) * 2, np.float32)
    return boxes


def suppressed(layout: Layout, boxes: Floats, scores: Floats, iou: float) -> Persons:
    """The best of overlapping boxes in px, best first."""
    refuse_wild(layout, boxes)
    kept = nms(boxes, scores, iou=iou)
    return boxes[kept], scores[kept]


def best(layout: Layout, boxes: Floats, scores: Floats) -> Persons:
    """Boxes in px that do not overlap, best first."""
    order = best_first(scores)
    boxes = boxes[order]
    refuse_wild(layout, boxes)
    return boxes, scores[order]


def refuse_wild(layout: Layout, boxes: Floats) -> None:
    """Raises InferenceError on boxes in px that can be none."""
    if not boxes.size:
        return
    limit = _MAX_SPREAD * max(layout.width, layout.height)
    # Written so that NaN fails too.
    if not (boxes.max() <= limit and boxes.min() >= -limit):
        raise InferenceError("the model gave boxes far outside the picture: is its output of another kind?")
    if layout.box_units == "px" and max(abs(float(boxes.max())), abs(float(boxes.min()))) <= SHARE_LIMIT:
        raise InferenceError(
            "the model gave persons of a pixel's size: its boxes seem to be in 0..1; say so: model.output.units: share"
        )
