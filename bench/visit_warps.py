"""Where bench.visits puts people into a picture, and how its lens and its mounting bend it; px throughout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.core.types import Box, Pixels

Size = tuple[int, int]
_VISIBLE = 0.3  # of a box inside the picture; of whom less is in view is not there yet
_HALF_VIEW = math.radians(60.0)  # from the middle of the fisheye's picture to its left edge
_STEEPEST = math.radians(85.0)  # beyond it a plane picture has nothing to show
_SEEN_FROM_ABOVE = ((0.0, 0.1), (1.0, 0.1), (0.72, 0.85), (0.28, 0.85))
"""Where the corners go, clockwise from the upper left: people grow short, and their feet smaller than their heads."""


class Warp(Protocol):
    """Bends pictures of one size."""

    def picture(self, pixels: Pixels) -> Pixels: ...

    def box(self, box: Box) -> Box:
        """The box around a box of the unbent picture."""


@dataclass(frozen=True)
class Fisheye:
    """An equidistant lens (r = f * theta) over 120 degrees: large in the middle, small and leaning at the edges."""

    size: Size

    def picture(self, pixels: Pixels) -> Pixels:
        bent = cv2.remap(pixels, *self._maps, cv2.INTER_LINEAR)
        return np.asarray(bent, np.uint8)

    def box(self, box: Box) -> Box:
        points = _outline(box) - self._middle
        radius = np.hypot(points[:, 0], points[:, 1])
        far = self._gain * np.arctan(radius / self._focal) / np.maximum(radius, 1e-9)
        return _around(points * far[:, None] + self._middle)

    @property
    def _middle(self) -> NDArray[np.float64]:
        return np.array(self.size) / 2.0

    @property
    def _focal(self) -> float:
        return self.size[0] / 2 / math.tan(_HALF_VIEW)

    @property
    def _gain(self) -> float:
        return self.size[0] / 2 / _HALF_VIEW

    @cached_property
    def _maps(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        x, y = np.meshgrid(np.arange(self.size[0]) - self._middle[0], np.arange(self.size[1]) - self._middle[1])
        radius = np.maximum(np.hypot(x, y), 1e-9)
        near = self._focal * np.tan(np.minimum(radius / self._gain, _STEEPEST)) / radius
        return (x * near + self._middle[0]).astype(np.float32), (y * near + self._middle[1]).astype(np.float32)


@dataclass(frozen=True)
class Overhead:
    """A camera high up that looks down steeply, as a perspective warp."""

    size: Size

    def picture(self, pixels: Pixels) -> Pixels:
        bent = cv2.warpPerspective(pixels, self._matrix, self.size)
        return np.asarray(bent, np.uint8)

    def box(self, box: Box) -> Box:
        points = cv2.perspectiveTransform(_outline(box)[None].astype(np.float64), self._matrix)
        return _around(np.asarray(points[0], np.float64))

    @cached_property
    def _matrix(self) -> NDArray[np.float64]:
        whole = np.array(self.size, np.float32)
        corners = np.array(((0, 0), (1, 0), (1, 1), (0, 1)), np.float32) * whole
        return np.asarray(
            cv2.getPerspectiveTransform(corners, np.array(_SEEN_FROM_ABOVE, np.float32) * whole), np.float64
        )


@cache
def fisheye(size: Size) -> Fisheye:
    return Fisheye(size)


@cache
def overhead(size: Size) -> Overhead:
    return Overhead(size)


@dataclass(frozen=True, slots=True)
class Inset:
    """A small picture of `size` set into one of `whole` at `left`, `top`; what is outside is cut off."""

    left: int
    top: int
    size: Size
    whole: Size

    def put(self, pixels: Pixels, into: Pixels) -> None:
        x, y = max(0, self.left), max(0, self.top)
        right, bottom = (min(end, side) for end, side in zip(self._end, self.whole, strict=True))
        into[y:bottom, x:right] = pixels[y - self.top : bottom - self.top, x - self.left : right - self.left]

    def box(self, box: Box, factor: float) -> Box | None:
        """Where a box of the clip, which is shown `factor` times as large, lies; None: (nearly) out of view."""
        x1, y1, x2, y2 = (
            side * factor + by for side, by in zip(box, (self.left, self.top, self.left, self.top), strict=True)
        )
        cut = max(x1, 0.0), max(y1, 0.0), min(x2, float(self.whole[0])), min(y2, float(self.whole[1]))
        seen = max(0.0, cut[2] - cut[0]) * max(0.0, cut[3] - cut[1])
        return cut if seen >= _VISIBLE * (x2 - x1) * (y2 - y1) else None

    @property
    def _end(self) -> Size:
        return self.left + self.size[0], self.top + self.size[1]


def posts(pixels: Pixels, inset: Inset, *, width: int) -> None:
    """Three posts of `width` in front of what `inset` shows."""
    for part in (0.25, 0.5, 0.75):
        middle = inset.left + round(part * inset.size[0])
        x1, x2 = max(0, middle - width // 2), min(inset.whole[0], middle + (width + 1) // 2)
        shade = np.linspace(70.0, 120.0, max(1, x2 - x1))[None, :, None]
        pixels[max(0, inset.top) : inset.top + inset.size[1], x1:x2] = shade.astype(np.uint8)


def _outline(box: Box) -> NDArray[np.float64]:
    """Points along a box's four sides: a bent side reaches beyond its ends."""
    x, y = np.linspace(box[0], box[2], 5), np.linspace(box[1], box[3], 5)
    sides: Sequence[NDArray[np.float64]] = (
        np.stack((x, np.full(5, box[1])), axis=1),
        np.stack((x, np.full(5, box[3])), axis=1),
        np.stack((np.full(5, box[0]), y), axis=1),
        np.stack((np.full(5, box[2]), y), axis=1),
    )
    return np.concatenate(sides)


def _around(points: NDArray[np.float64]) -> Box:
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x1, y1, x2, y2
