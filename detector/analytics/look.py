"""How the content of a box looks, as a few hundred bytes, so that the same thing is known again. Pure, NumPy alone.

Two parts: brightness in a coarse grid, and gradient orientations in a grid of cells (histograms of oriented gradients;
Dalal and Triggs, CVPR 2005), each normalised, so that light and contrast do not count.

Measured on two recordings of people (640 x 480 and 768 x 576 px), boxes moved by 3 % of their height at random: the same
thing at day, dusk, under infrared, or blurred reaches SAME_LOOK in 97 of 100 pairs or more, another person in the same
place in 1 of 100 (`tests/analytics/test_look.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.core.types import Box, Pixels

SAME_LOOK = 0.76
"""Similarity from which on two looks are of the same thing."""
LENGTH = 12 * 6 + 8 * 4 * 6
"""Bytes of a look."""
_GREY = (12, 6)  # rows, columns
_FINE = (32, 16)  # rows, columns of the picture whose gradients count
_CELLS = (8, 4)
_ORIENTATIONS = 6
_NO_CONTRAST = 1e-6  # grey levels

Values = NDArray[np.float64]


def describe(luma: Pixels, box: Box) -> bytes:
    """The look of `box` (px) in `luma`, uint8 [height, width]; LENGTH bytes."""
    content = _cut(luma, box)
    parts = (_grid(content, _GREY), _gradients(_grid(content, _FINE)))
    return b"".join(_quantised(part).tobytes() for part in (parts[0] - parts[0].mean(), parts[1]))


def similarity(a: bytes, b: bytes) -> float:
    """How alike two looks are, -1 to 1; 1: the same. Two without any contrast are the same."""
    x, y = (np.frombuffer(look, np.int8).astype(np.float64) for look in (a, b))
    split = _GREY[0] * _GREY[1]
    return (_cosine(x[:split], y[:split]) + _cosine(x[split:], y[split:])) / 2


def _cut(luma: Pixels, box: Box) -> Values:
    height, width = luma.shape
    x1, y1 = (min(max(round(side), 0), limit - 1) for side, limit in ((box[0], width), (box[1], height)))
    x2, y2 = (min(max(round(box[2]), x1 + 1), width), min(max(round(box[3]), y1 + 1), height))
    return luma[y1:y2, x1:x2].astype(np.float64)


def _grid(content: Values, shape: tuple[int, int]) -> Values:
    """The means of `shape` (rows, columns) parts of equal size; where there are fewer pixels, they are repeated."""
    for axis in (0, 1):
        length = content.shape[axis]
        edges = np.linspace(0, length, shape[axis] + 1).astype(int)
        starts = np.minimum(edges[:-1], length - 1)
        sizes = np.maximum(np.diff(np.append(starts, length)), 1)
        sums = np.add.reduceat(content, starts, axis)
        content = sums / (sizes[:, None] if axis == 0 else sizes[None, :])
    return content


def _gradients(fine: Values) -> Values:
    """Histograms of orientations, their square roots: one strong edge must not hide the others."""
    dy, dx = np.gradient(fine)
    strength = np.hypot(dx, dy)
    orientation = (np.arctan2(dy, dx) % np.pi / np.pi * _ORIENTATIONS).astype(int) % _ORIENTATIONS
    rows, columns = _CELLS
    high, wide = _FINE[0] // rows, _FINE[1] // columns
    histograms = [
        (strength * (orientation == k)).reshape(rows, high, columns, wide).sum(axis=(1, 3))
        for k in range(_ORIENTATIONS)
    ]
    return np.asarray(np.sqrt(np.stack(histograms)))


def _quantised(values: Values) -> NDArray[np.int8]:
    most = float(np.abs(values).max())
    return np.round(values * (127.0 / most) if most > _NO_CONTRAST else np.zeros_like(values)).astype(np.int8)


def _cosine(a: Values, b: Values) -> float:
    norms = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if 0.0 in norms:
        return float(norms[0] == norms[1])
    return float(a @ b) / (norms[0] * norms[1])
