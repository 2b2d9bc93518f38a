from __future__ import annotations

from detector.analytics.burst import Burst


def played(undecided: list[bool], *, fps: float = 10.0) -> list[bool]:
    burst = Burst()
    return [burst.update(k / fps, undecided=one) for k, one in enumerate(undecided)]


def test_a_candidate_starts_a_burst_which_ends_with_it() -> None:
    assert played([False, False, True, True, True, False, False, False, False, False]) == [
        *[False] * 2,
        *[True] * 6,
        *[False] * 2,
    ]


def test_a_single_miss_does_not_end_it() -> None:
    assert all(played([True, False, True, False, False, True]))


def test_what_stays_undecided_is_looked_at_faster_for_a_second_in_six() -> None:
    fast = played([True] * 600)
    assert fast[:10] == [True] * 10
    assert not any(fast[11:59])
    assert 80 <= sum(fast) <= 110


def test_without_candidates_nothing_is_faster() -> None:
    assert not any(played([False] * 100))
