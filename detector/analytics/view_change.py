"""Changes of the whole picture that are no motion in it: the light, the IR filter, or the camera itself, which turned.

Works on the motion gate's small grey pictures. A turn is found by phase correlation (Kuglin and Hines, 1975) and
believed only if the earlier picture, moved by it, explains most of what changed.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.core.types import Pixels

Shift = tuple[float, float]

_CELLS = (16, 9)  # columns and rows into which the picture is divided
_TOUCHED = 0.04  # of a cell's pixels: it has changed
_RESPONSE = 0.1  # of phase correlation, 0..1; unrelated pictures give about 0.03
_EXPLAINED = 0.35  # of what changed may remain after the move
_LEAST = 0.5  # px: a smaller shift is none
_AT_HOME = 1.0  # px
_SAME_VIEW = 0.03  # of the pixels may differ where two pictures show the same view


class HomeView:
    """Follows where a camera looks, in px of the small picture, from where it looked at the start.

    `step` is the picture's last shift. When a turn ends where the picture shows the view of the start again, what
    many small shifts got wrong is put right.
    """

    def __init__(self, *, threshold: float) -> None:
        self._threshold = threshold
        self._home: Pixels | None = None
        self._at = (0.0, 0.0)
        self._turning = False
        self.step: Shift = (0.0, 0.0)

    def start(self, picture: Pixels) -> None:
        """The view of `picture` is home."""
        self._home, self._at, self.step, self._turning = picture, (0.0, 0.0), (0.0, 0.0), False

    def update(self, before: Pixels, now: Pixels, *, may_turn: bool) -> bool:
        """Take a frame and the one before it; True while the camera turns. `may_turn`: enough changed for that."""
        shift = find_shift(before, now, threshold=self._threshold) if may_turn else None
        if shift is not None:
            if not self._turning and max(map(abs, self._at)) < _AT_HOME:
                self._home = before  # in today's light
            self._move(shift)
            self._turning = True
            return True
        self.step = (0.0, 0.0)
        if self._turning:
            self._turning = False
            self._put_right(now)
        return False

    def _put_right(self, now: Pixels) -> None:
        assert self._home is not None
        home = find_view(self._home, now, threshold=self._threshold)
        if home is not None:
            self._move((home[0] - self._at[0], home[1] - self._at[1]))

    def _move(self, shift: Shift) -> None:
        self.step = shift
        self._at = self._at[0] + shift[0], self._at[1] + shift[1]


def spread(change: Pixels) -> float:
    """The share of the picture's cells that `change` (uint8, 0 or 255) touches, 0..1."""
    cells = np.asarray(cv2.resize(change, _CELLS, interpolation=cv2.INTER_AREA))
    return float(np.count_nonzero(cells > 255 * _TOUCHED)) / cells.size


def find_shift(before: Pixels, now: Pixels, *, threshold: float) -> Shift | None:
    """How far (px right, px down) the whole picture moved; None if it did not.

    `threshold` (grey levels) is the smallest change of a pixel that counts.
    """
    shift = _correlated(before, now)
    if shift is None or max(map(abs, shift)) < _LEAST:
        return None
    unmoved, moved = (_different(before, now, by, shift, threshold) for by in ((0.0, 0.0), shift))
    return shift if moved < _EXPLAINED * unmoved else None


def find_view(home: Pixels, now: Pixels, *, threshold: float) -> Shift | None:
    """Where (px) `now` shows the view of `home`; None if it shows another one."""
    shift = _correlated(home, now)
    if shift is None or _different(home, now, shift, shift, threshold) > _SAME_VIEW:
        return None
    return shift


def _correlated(before: Pixels, now: Pixels) -> Shift | None:
    height, width = now.shape
    if before.shape != now.shape or min(height, width) < 16:
        return None
    (dx, dy), response = cv2.phaseCorrelate(before.astype(np.float32), now.astype(np.float32), _window(width, height))
    return (dx, dy) if response >= _RESPONSE else None


def _different(before: Pixels, now: Pixels, by: Shift, visible: Shift, threshold: float) -> float:
    """The share that differs from `before` moved by `by`, of the pixels that a move by `visible` leaves in view."""
    height, width = now.shape
    matrix = np.array([[1.0, 0.0, by[0]], [0.0, 1.0, by[1]]])
    moved = cv2.warpAffine(before, matrix, (width, height))
    x, y = (int(np.ceil(abs(side))) + 1 for side in visible)
    if 2 * x >= width or 2 * y >= height:
        return 1.0
    differs = cv2.absdiff(moved, now)[y : height - y, x : width - x] > threshold
    return float(np.count_nonzero(differs)) / differs.size


@lru_cache(maxsize=8)
def _window(width: int, height: int) -> NDArray[np.float32]:
    """Weights that hide the picture's borders, whose content comes and goes."""
    return np.asarray(cv2.createHanningWindow((width, height), cv2.CV_32F), np.float32)
