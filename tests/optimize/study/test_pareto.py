"""The front, the fastest that noise does not tell apart, and the rule for a tie."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detector.optimize.study.pareto import Point, by_rule, front, leaders

POINTS = st.lists(
    st.builds(
        Point,
        key=st.uuids().map(str),
        ms=st.floats(1, 100),
        drop=st.floats(-5, 50),
    ),
    max_size=12,
)


def point(key: str, ms: float, drop: float) -> Point:
    return Point(key=key, ms=ms, drop=drop)


def test_the_front_has_what_nothing_beats_in_both() -> None:
    points = [point("slow", 9, 0.0), point("fast", 2, 3.0), point("beaten", 9.5, 0.1), point("middle", 4, 1.0)]
    assert [found.key for found in front(points)] == ["fast", "middle", "slow"]


@given(POINTS)
def test_nothing_on_the_front_is_beaten_and_all_else_is(points: list[Point]) -> None:
    found = front(points)
    for one in points:
        better = [other for other in points if other.ms <= one.ms and other.drop < one.drop - 1e-9]
        assert (one not in found) or not better
        if one not in found:
            assert any(other.ms <= one.ms and other.drop <= one.drop + 1e-9 for other in found)


def measured(key: str, ms: float, *, noise: float = 0.05, allowed: bool = True, size: int = 1) -> Point:
    return Point(key=key, ms=ms, drop=0.0, low_ms=ms * (1 - noise), high_ms=ms * (1 + noise), allowed=allowed, bytes=size, name=key)  # fmt: skip


def test_the_leaders_are_the_fastest_allowed_and_what_noise_does_not_tell_from_it() -> None:
    points = [measured("slow", 9), measured("cheat", 1, allowed=False), measured("near", 4.2), measured("fast", 4)]
    assert [found.key for found in leaders(points, 6)] == ["fast", "near"]
    assert [found.key for found in leaders([measured("fast", 4, noise=0.01), measured("near", 4.2, noise=0.01)], 6)] == ["fast"]  # fmt: skip
    assert len(leaders([measured(str(number), 4) for number in range(9)], 6)) == 6


def test_nobody_leads_where_the_budget_is_impossible() -> None:
    assert leaders([measured("slow", 9, allowed=False)], 6) == []
    assert leaders([], 6) == []


def test_a_tie_goes_to_the_smaller_file_then_to_the_name() -> None:
    assert by_rule([measured("a", 4, size=2), measured("b", 4.2, size=1)]).key == "b"
    assert by_rule([measured("b", 4), measured("a", 4.2)]).key == "a"
