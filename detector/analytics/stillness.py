"""Whether a person stands still, and whether they have ever left the place of their first detection. Pure."""

from __future__ import annotations

import math

from detector.core.geometry import moved
from detector.core.types import Box

STILL_SHARE = 0.25
"""Stationary: the foot point stays within this share of the person's height ..."""
STILL_S = 5.0
"""... for this many seconds."""
_SAME_SIZE = 1.5  # heights further apart than this factor are another size


class Stillness:
    """Whether a person's foot point stays in one place (STILL_SHARE, STILL_S)."""

    def __init__(self) -> None:
        self._anchor: tuple[float, float] | None = None
        self._since = 0.0
        self.stationary = False

    def observe(self, box: Box, mono: float) -> None:
        """`box` px, `mono` monotonic s."""
        foot, height = _foot(box), box[3] - box[1]
        if self._anchor is None or math.dist(foot, self._anchor) > STILL_SHARE * height:
            self._anchor, self._since = foot, mono
        self.stationary = mono - self._since >= STILL_S

    def shift(self, dx: float, dy: float) -> None:
        """The camera turned: the whole picture moved by (px)."""
        if self._anchor is not None:
            self._anchor = self._anchor[0] + dx, self._anchor[1] + dy


class Origin:
    """Where a person was first detected, and whether they have `left` there: moved, or changed in size.

    One outlying box is not a move: it takes `inertia` consecutive ones.
    """

    def __init__(self, *, inertia: int) -> None:
        self._inertia = inertia
        self._box: Box | None = None
        self._away = 0
        self.left = False

    def observe(self, box: Box) -> None:
        """`box` px."""
        self._box = self._box or box
        self._away = 0 if _same_place(self._box, box) else self._away + 1
        self.left = self.left or self._away >= self._inertia

    @property
    def is_away(self) -> bool:
        """Whether the latest box is elsewhere, be it an outlier or the first of a move."""
        return self._away > 0

    def shift(self, dx: float, dy: float) -> None:
        """The camera turned: the whole picture moved by (px)."""
        if self._box is not None:
            self._box = moved(self._box, dx, dy)


def _same_place(first: Box, box: Box) -> bool:
    before, now = max(first[3] - first[1], 1.0), max(box[3] - box[1], 1.0)
    near = math.dist(_foot(first), _foot(box)) <= STILL_SHARE * before
    return near and max(before, now) <= _SAME_SIZE * min(before, now)


def _foot(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, box[3]
