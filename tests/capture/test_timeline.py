from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.capture.timeline import Timeline

stamps = st.lists(
    st.one_of(st.none(), st.floats(-1e5, 1e5, allow_nan=False).map(lambda x: round(x, 3))), min_size=1, max_size=30
)


def media(*values: float | None, interval_s: float = 0.04) -> list[float]:
    timeline = Timeline()
    return [timeline.at(value, interval_s=interval_s) for value in values]


@given(stamps)
def test_starts_at_zero_and_always_grows(values: list[float | None]) -> None:
    out = media(*values)
    assert out[0] == 0.0
    assert all(b > a for a, b in itertools.pairwise(out))


def test_keeps_the_gaps_of_a_variable_frame_rate() -> None:
    assert media(7.0, 7.04, 7.3, 9.0) == pytest.approx([0.0, 0.04, 0.3, 2.0])


def test_missing_stamps_follow_by_the_frame_interval_and_later_ones_join_on() -> None:
    assert media(5.0, None, None, 90.0, 90.5) == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.62])


def test_a_clock_that_starts_anew_goes_on_by_one_interval() -> None:
    assert media(100.0, 101.0, 3.0, 3.5) == pytest.approx([0.0, 1.0, 1.04, 1.54])


def test_a_stray_stamp_does_not_shift_what_follows() -> None:
    assert media(1.0, 1.04, 1.0, 1.12) == pytest.approx([0.0, 0.04, 0.041, 0.12])


def test_a_loop_continues_one_interval_after_its_end() -> None:
    timeline = Timeline()
    first = [timeline.at(value, interval_s=0.1) for value in (0.0, 0.1, 0.2)]
    timeline.restart()
    second = [timeline.at(value, interval_s=0.1) for value in (0.0, 0.1)]
    assert first + second == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
