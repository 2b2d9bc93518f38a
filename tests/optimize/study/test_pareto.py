"""The front and the winner."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detector.optimize.study.pareto import Point, front, winner

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


def test_the_winner_is_the_fastest_that_the_budget_allows() -> None:
    points = [point("slow", 9, 0.0), point("fast", 2, 0.51), point("middle", 4, 0.5)]
    chosen = winner(points, 0.5)
    assert chosen is not None
    assert chosen.key == "middle"


def test_no_winner_where_the_budget_is_impossible() -> None:
    assert winner([point("slow", 9, 0.0)], -1.0) is None
    assert winner([], 0.5) is None
