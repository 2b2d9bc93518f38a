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
_EXPLAINED = 0.35  # of what changed may remain after the move ...
_ELSEWHERE = 0.15  # ... in so many cells: more stand still, and something large moved before them
_LEAST = 0.5  # px: a smaller shift is none
_REFERENCE_FRAMES = 5  # a slow turn is only seen after some frames, and measured from before it began
_CALM_FRAMES = 3  # a turn is over after so many without a shift
_MOST = 0.5  # of the pixels
_AT_HOME = 1.0  # px
_SAME_VIEW = 0.03  # of the pixels may differ where two pictures show the same view


class HomeView:
    """Follows where a camera looks, in px of the small picture, from where it looked at the start.

    `step` is the shift that the last picture brought. When a turn ends where the picture shows the view of the start
    again, what many small shifts got wrong is put right.
    """

    def __init__(self, *, threshold: float) -> None:
        self._threshold = threshold
        self._home: Pixels | None = None
        self._reference: Pixels | None = None  # the picture that shifts are measured from
        self._age = 0  # pictures since the reference
        self._calm: int | None = None  # pictures without a shift since the last one of a turn; None: no turn
        self._at = (0.0, 0.0)
        self.step: Shift = (0.0, 0.0)

    def start(self, picture: Pixels) -> None:
        """The view of `picture` is home."""
        self._home = self._reference = picture
        self._at = self.step = (0.0, 0.0)
        self._age, self._calm = 0, None

    def update(self, now: Pixels, *, may_turn: bool) -> bool:
        """Take a picture; True if the camera turned since the last. `may_turn`: enough changed for that."""
        self.step = (0.0, 0.0)
        self._age += 1
        if may_turn or self._calm is not None:
            return self._measure(now)
        if self._age >= _REFERENCE_FRAMES:
            self._refer(now)
        return False

    def _measure(self, now: Pixels) -> bool:
        assert self._reference is not None
        shift = find_shift(self._reference, now, threshold=self._threshold)
        if shift is not None:
            if self._calm is None and max(map(abs, self._at)) < _AT_HOME:
                self._home = self._reference  # in today's light
            self._calm = 0
            self._move(shift)
            self._refer(now)
        elif self._calm is None:
            self._refer(now)
        else:
            self._calm += 1
            if self._calm >= _CALM_FRAMES:
                self._calm = None
                self._refer(now)
                self._put_right(now)
        return shift is not None

    def _refer(self, picture: Pixels) -> None:
        self._reference, self._age = picture, 0

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
    unmoved, moved = (_differing(before, now, by, shift, threshold) for by in ((0.0, 0.0), shift))
    if unmoved is None or moved is None or np.count_nonzero(moved) >= _EXPLAINED * np.count_nonzero(unmoved):
        return None
    return shift if spread(moved) <= _ELSEWHERE else None


def is_light(before: Pixels, now: Pixels, *, threshold: float) -> bool:
    """Whether `now` is `before` brighter or darker, with more or less contrast: a linear map explains the change.

    Most of the picture must have changed, if only a little: one bright thing on a plain ground is a linear map too.
    """
    if np.count_nonzero(cv2.absdiff(before, now) > threshold / 5) < _MOST * now.size:
        return False
    x, y = before.astype(np.float32), now.astype(np.float32)
    (low, high), level = (x.mean(), y.mean()), float(x.var())
    gain = float(((x - low) * (y - high)).mean()) / level if level > 1.0 else 1.0
    left = np.abs((x - low) * gain + high - y) > threshold
    return float(np.count_nonzero(left)) < _EXPLAINED * float(np.count_nonzero(np.abs(x - y) > threshold))


def find_view(home: Pixels, now: Pixels, *, threshold: float) -> Shift | None:
    """Where (px) `now` shows the view of `home`; None if it shows another one."""
    shift = _correlated(home, now)
    differs = None if shift is None else _differing(home, now, shift, shift, threshold)
    return shift if differs is not None and np.count_nonzero(differs) <= _SAME_VIEW * differs.size else None


def _correlated(before: Pixels, now: Pixels) -> Shift | None:
    height, width = now.shape
    if before.shape != now.shape or min(height, width) < 16:
        return None
    (dx, dy), response = cv2.phaseCorrelate(before.astype(np.float32), now.astype(np.float32), _window(width, height))
    return (dx, dy) if response >= _RESPONSE else None


def _differing(before: Pixels, now: Pixels, by: Shift, visible: Shift, threshold: float) -> Pixels | None:
    """255 where `now` differs from `before` moved by `by`, of the pixels that a move by `visible` leaves in view.

    None if it leaves none.
    """
    height, width = now.shape
    x, y = (int(np.ceil(abs(side))) + 1 for side in visible)
    if 2 * x >= width or 2 * y >= height:
        return None
    matrix = np.array([[1.0, 0.0, by[0]], [0.0, 1.0, by[1]]])
    change = cv2.absdiff(cv2.warpAffine(before, matrix, (width, height)), now)[y : height - y, x : width - x]
    return np.asarray(cv2.threshold(change, threshold, 255, cv2.THRESH_BINARY)[1], np.uint8)


@lru_cache(maxsize=8)
def _window(width: int, height: int) -> NDArray[np.float32]:
    """Weights that hide the picture's borders, whose content comes and goes."""
    return np.asarray(cv2.createHanningWindow((width, height), cv2.CV_32F), np.float32)
