"""Made counts of looks, for tests of the evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping

from detector.analytics.evidence_curves import HEIGHTS, SCORES, Counts, EvidenceCurves

_USUAL = {
    0: (40, 60), 1: (40, 120), 2: (200, 16), 3: (200, 8), 4: (200, 5), 5: (200, 4), 6: (200, 3), 7: (300, 1)
}  # fmt: skip


def counts(cells: Mapping[tuple[int, int], tuple[int, int]]) -> Counts:
    """Counts with these cells by height's row and score's column, and nothing elsewhere."""
    return [[list(cells.get((row, column), (0, 0))) for column in range(len(SCORES))] for row in range(len(HEIGHTS))]


def usual() -> Counts:
    """People have high scores, what is nobody low ones, at every height."""
    return counts({(row, column): pair for row in range(len(HEIGHTS)) for column, pair in _USUAL.items()})


def made_curves(
    *, bright: Counts | None = None, dark: Counts | None = None, bar: float = math.log(100.0)
) -> EvidenceCurves:
    return EvidenceCurves(bright=bright or usual(), dark=dark or usual(), bar=bar)
