"""Cumulative histograms of durations, as Prometheus counts them: since the start, never reset. Thread-safe."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

LATENCY_BUCKETS_S: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    10.0,
)
"""Upper bounds, s: a picture's stages take 0.2 to 100 ms, an alert 30 to 500; beyond that something is wrong."""


@dataclass(frozen=True, slots=True)
class HistogramCounts:
    """`buckets`: (upper bound in s, how many were at most that), the last bound infinite; `total_s`: their sum."""

    buckets: tuple[tuple[float, int], ...]
    total_s: float


class Histogram:
    """Durations in seconds; negative ones count as 0."""

    def __init__(self, bounds: Sequence[float] = LATENCY_BUCKETS_S) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0
        self._lock = threading.Lock()

    def observe(self, seconds: float) -> None:
        seconds = max(0.0, seconds)
        with self._lock:
            self._counts[bisect_left(self._bounds, seconds)] += 1
            self._total += seconds

    def counts(self) -> HistogramCounts:
        with self._lock:
            counts, total = list(self._counts), self._total
        summed, buckets = 0, []
        for bound, count in zip((*self._bounds, float("inf")), counts, strict=True):
            summed += count
            buckets.append((bound, summed))
        return HistogramCounts(tuple(buckets), total)


class StageHistograms:
    """One histogram a stage; the stages are given once."""

    def __init__(self, stages: Iterable[str]) -> None:
        self._by_stage = {stage: Histogram() for stage in stages}

    def observe(self, **seconds: float) -> None:
        """Stages by name, in s; KeyError for one that is none."""
        for stage, duration in seconds.items():
            self._by_stage[stage].observe(duration)

    def counts(self) -> Mapping[str, HistogramCounts]:
        return {stage: histogram.counts() for stage, histogram in self._by_stage.items()}
