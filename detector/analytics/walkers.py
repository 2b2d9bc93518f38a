"""Which of the followed people walk: a post that was once taken for a person must not be kept by windows alone.

Enlarged, a sign or a post can look like a person in every window. It does not move; people who are followed have moved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from detector.core.geometry import intersections
from detector.core.types import Box, Track

_STEP = 0.5  # heights from the place where the person was: clearly more than the jitter of boxes
_STANDS_S = 5.0  # so long somebody who walked may stand


class Walkers:
    """Where and when each track moved last; not thread-safe."""

    def __init__(self) -> None:
        self._moved: dict[int, tuple[tuple[float, float], float]] = {}

    def update(self, tracks: Sequence[Track], t: float) -> None:
        """Take all live tracks at `t`, monotonic s."""
        self._moved = {track.id: self._after(track, t) for track in tracks}

    def select(self, tracks: Sequence[Track], regions: Sequence[Box], t: float) -> list[Box]:
        """The boxes of those who walked lately, or where something moves now (`regions`, px)."""
        return [
            track.box
            for track in tracks
            if t - self._moved.get(track.id, ((0.0, 0.0), -math.inf))[1] <= _STANDS_S or _touches(track.box, regions)
        ]

    def _after(self, track: Track, t: float) -> tuple[tuple[float, float], float]:
        x1, y1, x2, y2 = track.box
        middle = ((x1 + x2) / 2, (y1 + y2) / 2)
        anchor, moved_mono = self._moved.get(track.id, (middle, -math.inf))
        if math.dist(middle, anchor) > _STEP * (y2 - y1):
            return middle, t
        return anchor, moved_mono


def _touches(box: Box, regions: Sequence[Box]) -> bool:
    return bool(intersections(np.array([box]), np.array(regions, np.float64).reshape(-1, 4)).any())
