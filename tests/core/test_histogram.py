from __future__ import annotations

import math
import threading

import pytest

from detector.core.histogram import LATENCY_BUCKETS_S, Histogram, StageHistograms


def test_buckets_are_cumulative_and_their_bounds_included() -> None:
    histogram = Histogram((0.1, 0.5))
    for seconds in (0.0, 0.1, 0.100001, 0.5, 7.0, -3.0):
        histogram.observe(seconds)
    counts = histogram.counts()
    assert counts.buckets == ((0.1, 3), (0.5, 5), (math.inf, 6))
    assert counts.total_s == pytest.approx(7.700001), "a negative one counts as 0"


def test_the_bounds_rise_and_hold_what_an_alert_takes() -> None:
    assert list(LATENCY_BUCKETS_S) == sorted(set(LATENCY_BUCKETS_S))
    assert {0.1, 0.5, 1.0} <= set(LATENCY_BUCKETS_S)


def test_threads_lose_no_count() -> None:
    stages = StageHistograms(("a", "b"))

    def add() -> None:
        for _ in range(2000):
            stages.observe(a=0.01, b=0.02)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {stage: counts.buckets[-1][1] for stage, counts in stages.counts().items()} == {"a": 8000, "b": 8000}


def test_a_stage_that_is_none_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        StageHistograms(("a",)).observe(c=1.0)
