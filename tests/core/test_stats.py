from __future__ import annotations

import pytest

from detector.core.stats import Percentiles, Rate


def test_percentiles_of_what_was_measured_last() -> None:
    meter = Percentiles(size=100)
    assert meter.percentiles() == {"p50": None, "p99": None}
    for value in range(1000):
        meter.add(value)
    figures = meter.percentiles()
    assert figures["p50"] == pytest.approx(949.5)
    assert figures["p99"] == pytest.approx(998.01)


def test_rate_counts_intervals_and_forgets() -> None:
    rate = Rate(window_s=5)
    assert rate.value(0) == 0
    for i in range(21):
        rate.tick(i / 10)
    assert rate.value(2.0) == pytest.approx(10.0)
    assert rate.value(100.0) == 0
