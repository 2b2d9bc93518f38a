"""Which box belongs to which: overlaps, and the best one-to-one pairing above a floor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Array = NDArray[np.float64]
Index = NDArray[np.intp]


def iou(left: Array, right: Array) -> Array:
    """Intersection over union [N, M] of boxes x1, y1, x2, y2 [N, 4] and [M, 4]; 0 where both are empty."""
    corner = np.maximum(left[:, None, :2], right[None, :, :2])
    opposite = np.minimum(left[:, None, 2:], right[None, :, 2:])
    shared = np.maximum(opposite - corner, 0.0).prod(axis=2)
    union = _area(left)[:, None] + _area(right)[None, :] - shared
    overlap: Array = shared / np.maximum(union, np.finfo(np.float64).tiny)
    return overlap


def _area(boxes: Array) -> Array:
    area: Array = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return area


def pair(likeness: Array, rows: Index, columns: Index, *, floor: float) -> tuple[Index, Index]:
    """The pairing of `rows` with `columns` whose sum of `likeness` [N, M] is highest.

    Pairs below `floor` do not count, neither towards the sum nor in the answer: two index arrays of
    equal length. Deterministic: the same input gives the same pairs, ties included.
    """
    part = likeness[rows[:, None], columns[None, :]]
    allowed = part >= floor
    if not allowed.any():
        return rows[:0], columns[:0]
    # Forbidden pairs gain nothing, so a person is never traded away to make one.
    first, second = linear_sum_assignment(np.where(allowed, part - floor + 1e-9, 0.0), maximize=True)
    kept = allowed[first, second]
    return rows[first[kept]], columns[second[kept]]
