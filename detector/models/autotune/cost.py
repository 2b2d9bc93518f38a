"""The cost of a candidate, and the ranking of candidates."""

from __future__ import annotations

import time
from dataclasses import dataclass

from detector.core.types import Image
from detector.inference.multi_size import AnyDetector

ROUNDS, BLOCK = 6, 4
MARGIN = 1.05
"""The factor by which an inexact candidate must be cheaper than the reference: less is noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Wall and CPU time (all threads) of one model run, ms."""

    ms: float
    cpu_ms: float

    @property
    def product(self) -> float:
        """The energy-delay product with CPU time as energy: a second core for 20 % less latency is not worth it."""
        return self.ms * self.cpu_ms


def interleaved(
    reference: AnyDetector,
    candidate: AnyDetector,
    picture: Image,
    *,
    rounds: int = ROUNDS,
) -> tuple[Cost, Cost]:
    """The costs of both on the same picture, measured in alternating blocks; raises InferenceError."""
    both = (reference, candidate)
    for detector in both:
        detector.detect_image(picture)
    wall: tuple[list[float], list[float]] = ([], [])
    cpu: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side, detector in enumerate(both):
            detector.run_bare()  # lets the other's threads stop and fills the caches
            begun = time.process_time()
            wall[side].extend(detector.run_bare() for _ in range(BLOCK))
            cpu[side].append((time.process_time() - begun) * 1e3 / BLOCK)
    first, second = (
        # The minimum, as in timeit: time that a run waits for other load does not count.
        Cost(ms=min(w), cpu_ms=min(c))
        for w, c in zip(wall, cpu, strict=True)
    )
    return first, second


def price(cost: Cost, *, exact: bool) -> float:
    """The value by which candidates are ranked, lowest first."""
    return cost.product * (1.0 if exact else MARGIN)
