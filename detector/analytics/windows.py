"""Where a picture is cut for a crop, and how far that enlarges it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CropBox = tuple[int, int, int, int]
"""x1, y1, x2, y2 in source px."""

BEST = 28.0
"""px in the model's input: as tall as this, people are found best (measured: `python -m bench.visits`)."""
MOST_ZOOM = 3.0
"""Beyond this a window holds no more detail, only fewer surroundings."""
_WORTH = 0.5  # of the enlargement that a target asks for: with less, a window does not count as showing it


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What windows are for: boxes [N, 4] px, weights [N], the enlargement that each asks for, whether it is a person [N]."""

    boxes: NDArray[np.float64]
    weights: NDArray[np.float64]
    zooms: NDArray[np.float64]
    known: NDArray[np.bool_]

    def take(self, chosen: NDArray[np.bool_]) -> Targets:
        return Targets(
            boxes=self.boxes[chosen],
            weights=self.weights[chosen],
            zooms=self.zooms[chosen],
            known=self.known[chosen],
        )


def zoom_for(height: float, *, least: float) -> float:
    """The enlargement, input px per source px, that shows a person of `height` source px best; `least` at least."""
    return min(max(least, BEST / max(height, 1.0)), MOST_ZOOM)


def best_window(targets: Targets, size: tuple[int, int], picture: tuple[int, int]) -> tuple[CropBox, NDArray[np.bool_]]:
    """The window around one of the targets with the highest total weight, and which targets it shows whole [N].

    `size` (width, height) px is the model's input, `picture` that of the picture.
    """
    options = [
        _around(box, _sides(size, zoom), picture) for box, zoom in zip(targets.boxes, targets.zooms, strict=True)
    ]
    enlarged = targets.zooms[:, None] >= _WORTH * targets.zooms[None, :]
    held = np.array([_within(targets.boxes, window) for window in options]) & enlarged
    choice = int((held * targets.weights).sum(axis=1).argmax())
    inside = held[choice].copy()
    inside[choice] = True  # done, even if it is larger than the window
    return options[choice], inside


def _sides(size: tuple[int, int], zoom: float) -> tuple[int, int]:
    """The window's width and height in px: `size` over `zoom`, the short side rounded down.

    So the window is never taller, relative to its length, than the input: a model with several input sizes would take
    another one for it.
    """
    long = round(max(size) / zoom)
    short = math.floor(long * min(size) / max(size))
    return (long, short) if size[0] >= size[1] else (short, long)


def _around(target: NDArray[np.float64], size: tuple[int, int], picture: tuple[int, int]) -> CropBox:
    sides = [min(size[axis], picture[axis]) for axis in (0, 1)]
    middle = [(target[axis] + target[axis + 2]) / 2 for axis in (0, 1)]
    x, y = (round(min(max(0.0, middle[i] - sides[i] / 2), picture[i] - sides[i])) for i in (0, 1))
    return x, y, x + sides[0], y + sides[1]


def _within(targets: NDArray[np.float64], window: CropBox) -> NDArray[np.bool_]:
    low, high = np.array(window[:2]), np.array(window[2:])
    inside = np.concatenate((targets[:, :2] >= low, targets[:, 2:] <= high), axis=1)
    return np.asarray(inside.all(axis=1), np.bool_)
