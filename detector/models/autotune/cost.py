"""What a form costs, and which of several is the best buy."""

from __future__ import annotations

import time
from dataclasses import dataclass

from detector.core.types import Image
from detector.inference.multi_size import AnyDetector

ROUNDS, BLOCK = 6, 4
MARGIN = 1.05
"""What an inexact form must win by: less is noise, and no reason to leave the reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one model run: wall and CPU time (all threads) in ms."""

    ms: float
    cpu_ms: float

    @property
    def product(self) -> float:
        """The energy-delay product, CPU time for energy: 20 % less latency does not pay for a second core."""
        return self.ms * self.cpu_ms


def interleaved(
    reference: AnyDetector,
    candidate: AnyDetector,
    picture: Image,
    *,
    rounds: int = ROUNDS,
) -> tuple[Cost, Cost]:
    """Both over the same picture, in blocks that take turns; raises InferenceError."""
    both = (reference, candidate)
    for detector in both:
        detector.detect_image(picture)
    wall: tuple[list[float], list[float]] = ([], [])
    cpu: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side, detector in enumerate(both):
            detector.run_bare()  # the other's threads come to rest, the caches fill
            begun = time.process_time()
            wall[side].extend(detector.run_bare() for _ in range(BLOCK))
            cpu[side].append((time.process_time() - begun) * 1e3 / BLOCK)
    first, second = (
        # The least, as timeit has it: a run that had to wait for others says nothing about the form.
        Cost(ms=min(w), cpu_ms=min(c))
        for w, c in zip(wall, cpu, strict=True)
    )
    return first, second


def price(cost: Cost, *, exact: bool) -> float:
    """What forms are ranked by, the cheapest first."""
    return cost.product * (1.0 if exact else MARGIN)
