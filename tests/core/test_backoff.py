from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.core.backoff import FIRST_CAP_S, FIRST_S, Backoff


@given(st.integers(), st.integers(min_value=0, max_value=40))
def test_wait_is_within_a_ceiling_that_doubles_up_to_the_cap(seed: int, failures: int) -> None:
    backoff = Backoff(base=0.5, cap=30.0, rng=random.Random(seed))
    for n in range(failures):
        assert 0.0 <= backoff.next() <= min(30.0, 0.5 * 2**n)


def test_within_a_minutes_outage_no_wait_is_long() -> None:
    longest = 0.0
    for seed in range(200):
        backoff, waited = Backoff(rng=random.Random(seed)), 0.0
        while waited < FIRST_S:
            wait = backoff.next()
            waited += wait
            assert wait <= FIRST_CAP_S
        later = [backoff.next() for _ in range(60)]
        longest = max(longest, *later)
        assert max(later) <= 30.0
        assert 15.0 <= backoff.long() <= 30.0
    assert longest > 25.0, "it grows after all"


def test_jitter_is_full() -> None:
    draws = []
    for seed in range(400):
        backoff = Backoff(base=1.0, cap=8.0, first_cap=8.0, rng=random.Random(seed))
        draws.append([backoff.next() for _ in range(6)][-1])
    # Even between 0 and the cap: a tenth of the draws in each tenth, roughly.
    assert sum(d < 0.8 for d in draws) > 15
    assert sum(d > 7.2 for d in draws) > 15
    assert 3.5 < sum(draws) / len(draws) < 4.5


def test_reset_makes_the_next_retry_fast_again() -> None:
    backoff = Backoff(base=0.5, cap=30.0, rng=random.Random(1))
    for _ in range(10):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 0.5


def test_cameras_of_two_devices_do_not_knock_in_step() -> None:
    assert [Backoff().next() for _ in range(4)] != [Backoff().next() for _ in range(4)]


@pytest.mark.parametrize(("base", "cap"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_refuses_nonsense(base: float, cap: float) -> None:
    with pytest.raises(ValueError, match="0 < base <= cap"):
        Backoff(base=base, cap=cap)
