"""How well two times are told apart: intervals of the ratio of two that ran in the same rounds, by a bootstrap over rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.9
_DRAWS = 1000
_SEED = 7  # any: the same rounds give the same interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """The median of a ratio over rounds, and its two-sided interval."""

    median: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """As a share of the median: the "plus or minus"."""
        return (self.high - self.low) / 2 / self.median


def ratio(times: Sequence[float], others: Sequence[float], *, level: float = LEVEL) -> Ratio:
    """Of `times` over `others`, round by round (ms each); raises ValueError where they are not of the same rounds."""
    if len(times) != len(others) or not times:
        raise ValueError(f"{len(times)} and {len(others)} rounds cannot be paired")
    pairs = np.array(times, np.float64) / np.array(others, np.float64)
    drawn = np.random.default_rng(_SEED).integers(0, len(pairs), (_DRAWS, len(pairs)))
    medians = np.median(pairs[drawn], axis=1)
    tail = (1.0 - level) / 2
    low, high = (float(value) for value in np.quantile(medians, (tail, 1.0 - tail)))
    return Ratio(median=float(np.median(pairs)), low=low, high=high)
