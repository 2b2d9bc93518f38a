"""The Pareto front of speed and accuracy, the fastest variants within the budget, and how a tie is broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SLACK = 1e-9  # AP points; sums of floats must not decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """`drop` is in AP points (hundredths) under the baseline, on the worst set; negative where it gained.

    `low_ms` and `high_ms` are the interval that `ms` may lie in; `allowed`, whether the drop is shown to be in the budget.
    """

    key: str
    ms: float
    drop: float
    low_ms: float = 0.0
    high_ms: float = 0.0
    allowed: bool = True
    bytes: int = 0
    name: str = ""


def front(points: Sequence[Point]) -> list[Point]:
    """The Pareto front, fastest first: nothing else is as fast and loses less, or loses as little and is faster."""
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (point.ms, point.drop)):
        if not found or point.drop < found[-1].drop - _SLACK:
            found.append(point)
    return found


def leaders(points: Sequence[Point], most: int) -> list[Point]:
    """The fastest that is allowed, and up to `most` in all that its noise does not tell it from, fastest first."""
    allowed = sorted((point for point in points if point.allowed), key=lambda point: (point.ms, point.drop, point.key))
    if not allowed:
        return []
    return [point for point in allowed if point is allowed[0] or point.low_ms <= allowed[0].high_ms][:most]


def by_rule(tied: Sequence[Point]) -> Point:
    """Of variants that cannot be told apart: the smallest file, then the first by name."""
    return min(tied, key=lambda point: (point.bytes, point.name))
