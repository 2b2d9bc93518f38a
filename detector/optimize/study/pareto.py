"""The Pareto front of speed and accuracy, and the fastest variant within the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SLACK = 1e-9  # AP points; sums of floats must not decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """`drop` is in AP points (hundredths) under the baseline, on the worst set; negative where it gained."""

    key: str
    ms: float
    drop: float


def front(points: Sequence[Point]) -> list[Point]:
    """The Pareto front, fastest first: nothing else is as fast and loses less, or loses as little and is faster."""
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (point.ms, point.drop)):
        if not found or point.drop < found[-1].drop - _SLACK:
            found.append(point)
    return found


def winner(points: Sequence[Point], max_drop: float) -> Point | None:
    """The fastest that loses at most `max_drop` AP points; None where none does."""
    allowed = [point for point in points if point.drop <= max_drop + _SLACK]
    return min(allowed, key=lambda point: (point.ms, point.drop), default=None)
