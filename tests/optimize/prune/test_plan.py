"""A plan in words, and one bar over all of its phases."""

from __future__ import annotations

import pytest

from detector.optimize.prune.plan import Bar, Phase, PrunePlan, duration

PLAN = PrunePlan(
    phases=[
        Phase(name="one", what="do one", seconds=30.0, done=True),
        Phase(name="two", what="do two", seconds=600.0),
        Phase(name="three", what="do three", seconds=10.0),
    ],
    kept="out.work",
    resumed="continues from out.work: done are one",
)


def test_it_says_what_is_done_and_how_long_the_rest_takes() -> None:
    assert PLAN.lines() == [
        "plan: about 10 min in all, by one step of each kind measured now",
        "  do one: done",
        "  do two: about 10 min",
        "  do three: about 10 s",
        "kept in out.work at least once a minute: after a stop the same command continues",
        "continues from out.work: done are one",
    ]


def test_the_bar_never_goes_back_and_ends_at_the_end() -> None:
    told: list[tuple[int, int | None, str]] = []
    bar = Bar(PLAN, lambda *report: told.append(report))
    two = bar.of("two")
    for done in range(5):
        two(done, 4, "working")
    three = bar.of("three")
    three(0, None, "starting")
    three(7, 7, "ending")
    places = [done for done, _, _ in told]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (30, 640)
    assert {total for _, total, _ in told} == {640}


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (40, "40 s"), (100, "2 min"), (4200, "70 min"), (8000, "2 h 13 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
