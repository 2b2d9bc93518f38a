"""Areas and overlaps of boxes x1, y1, x2, y2."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .types import Box


def areas(boxes: NDArray[Any]) -> NDArray[np.float64]:
    """The areas of boxes [N, 4], float64 [N]."""
    sides = boxes[:, 2:].astype(np.float64) - boxes[:, :2]
    return np.asarray(sides.prod(axis=1), np.float64)


def intersections(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.float64]:
    """The areas that boxes [N, 4] and [M, 4] share, float64 [N, M]."""
    left, right = left.astype(np.float64, copy=False), right.astype(np.float64, copy=False)
    corner = np.maximum(left[:, None, :2], right[None, :, :2])
    opposite = np.minimum(left[:, None, 2:], right[None, :, 2:])
    return np.asarray(np.maximum(opposite - corner, 0.0).prod(axis=2), np.float64)


def iou(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union, float64 [N, M], of boxes [N, 4] and [M, 4]; 0 if both are empty."""
    shared = intersections(left, right)
    union = areas(left)[:, None] + areas(right)[None, :] - shared
    return np.asarray(shared / np.maximum(union, np.finfo(np.float64).tiny), np.float64)


def moved(box: Box, dx: float, dy: float) -> Box:
    """`box` moved by (dx, dy)."""
    return box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy


def from_segment(point: tuple[float, float], way: tuple[float, float]) -> float:
    """Distance of `point` from the segment that leads from the origin to `way`, its ends included."""
    square = way[0] ** 2 + way[1] ** 2
    along = min(max((point[0] * way[0] + point[1] * way[1]) / square, 0.0), 1.0) if square else 0.0
    return math.hypot(point[0] - along * way[0], point[1] - along * way[1])
