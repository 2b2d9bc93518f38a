"""How often boxes of nobody are seen at each place of one camera's picture: a tree that looks like a person all day.

Pure; times are monotonic seconds of the frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from detector.core.types import Box

from .zones import Size

_COLUMNS, _ROWS = 24, 16
_HALF_LIFE_S = 3600.0  # what was seen at noon says little of the evening
_BELOW = 0.1  # scores lower by more than this are another thing's: a tree of 0.4 says nothing of a person of 0.8
_STEP = 0.05  # of the scores that are counted together
_FEWEST = 0.01  # counts below this are forgotten
Cell = tuple[int, int]


@dataclass(slots=True)
class _PlaceCounts:
    """Boxes by their score's step, as of `t`."""

    t: float
    counts: dict[int, float] = field(default_factory=dict)

    def decay(self, t: float) -> None:
        share = 0.5 ** (max(0.0, t - self.t) / _HALF_LIFE_S)
        self.counts = {step: count * share for step, count in self.counts.items() if count * share >= _FEWEST}
        self.t = max(self.t, t)


class FalseBoxes:
    """Boxes of nobody by place and score, half forgotten after an hour; not thread-safe."""

    def __init__(self) -> None:
        self._cells: dict[Cell, _PlaceCounts] = {}

    def forget(self) -> None:
        """The camera looks elsewhere."""
        self._cells.clear()

    def add(self, cell: Cell, score: float, t: float) -> None:
        seen = self._cells.setdefault(cell, _PlaceCounts(t))
        seen.decay(t)
        step = _step(score)
        seen.counts[step] = seen.counts.get(step, 0.0) + 1.0

    def penalty(self, cell: Cell, score: float, t: float) -> float:
        """What a look of `score` tells less there, as a logarithm: ln(1 + boxes of nobody with such a score or more)."""
        seen = self._cells.get(cell)
        if seen is None:
            return 0.0
        seen.decay(t)
        least = _step(score - _BELOW)
        return math.log1p(sum(count for step, count in seen.counts.items() if step >= least))


def cell_of(box: Box, size: Size) -> Cell:
    """The cell of the middle of `box`, px, in a picture of `size` (width, height) px."""
    x, y = (box[0] + box[2]) / 2 / size[0], (box[1] + box[3]) / 2 / size[1]
    return min(max(0, int(x * _COLUMNS)), _COLUMNS - 1), min(max(0, int(y * _ROWS)), _ROWS - 1)


def _step(score: float) -> int:
    return math.floor(score / _STEP + 1e-9)
