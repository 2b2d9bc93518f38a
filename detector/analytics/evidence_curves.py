"""What a look's score tells of a model's boxes: of people and of nobody, by height and light, as they were counted."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

HEIGHTS = (0.0, 8.0, 12.0, 20.0, 40.0)
"""px in the model's input from which on each row of the counts holds."""
SCORES = (0.0, 0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Scores from which on each column holds; the first: the track was not found."""
_SHRUNK = 8.0  # looks that the row of all heights counts for: few looks must not tell much
Counts = Sequence[Sequence[Sequence[int]]]
"""[height][score][people, nobody]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceCurves:
    """`bright` and `dark` count looks at tracks, `bar` is the sum that confirms one.

    Raises ValueError for counts of another shape, or negative ones.
    """

    bright: Counts
    dark: Counts
    bar: float
    _weights: tuple[tuple[tuple[float, ...], ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tables = [_table(counts) for counts in (self.bright, self.dark)]
        object.__setattr__(self, "_weights", tuple(_weights(table, tables[0] + tables[1]) for table in tables))

    def weigh(self, score: float, height: float, *, dark: bool) -> float:
        """The logarithm of how much likelier such a look is at a person than at others; `score` 0: not found."""
        row = max(0, bisect.bisect_right(HEIGHTS, height) - 1)
        column = max(1, bisect.bisect_right(SCORES, score) - 1) if score > 0.0 else 0
        return self._weights[int(dark)][row][column]


def _table(counts: Counts) -> NDArray[np.float64]:
    table = np.array(counts, np.float64)
    if table.shape != (len(HEIGHTS), len(SCORES), 2) or (table < 0).any():
        raise ValueError(f"counts must be [{len(HEIGHTS)}][{len(SCORES)}][2] and not negative")
    return table


def _weights(table: NDArray[np.float64], everything: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    """Rows of log-likelihood ratios; never falling with the score, since a better score cannot tell against a person."""
    usual = everything.sum(axis=0) + 0.5
    usual /= usual.sum(axis=0)
    counts = table + _SHRUNK * usual
    shares = counts / counts.sum(axis=1, keepdims=True)
    found = []
    for row in shares:
        told = [round(math.log(person / nobody), 3) for person, nobody in row.tolist()]
        found.append((told[0], *np.maximum.accumulate(told[1:]).tolist()))
    return tuple(found)
