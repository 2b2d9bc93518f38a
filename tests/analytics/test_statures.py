from __future__ import annotations

from detector.analytics.statures import Statures
from detector.core.types import Box

SIZE = (1000, 1000)


def person(foot: float, height: float) -> Box:
    return (100.0, foot - height, 120.0, foot)


def test_nothing_is_known_before_enough_people_were_seen_there() -> None:
    statures = Statures()
    assert statures.at(500.0) is None
    statures.learn([person(500.0, 40.0)] * 7, SIZE)
    assert statures.at(500.0) is None
    statures.learn([person(500.0, 40.0)], SIZE)
    assert statures.at(500.0) == 40.0
    assert statures.at(800.0) is None


def test_people_are_as_tall_as_where_their_feet_are() -> None:
    statures = Statures()
    for foot in (float(y) for y in range(200, 900, 10)):
        statures.learn([person(foot, foot / 5)] * 2, SIZE)
    for line in (250.0, 500.0, 750.0):
        height = statures.at(line)
        assert height is not None
        assert abs(height - line / 5) < 8


def test_one_who_stands_for_hours_displaces_nobody_elsewhere() -> None:
    statures = Statures()
    statures.learn([person(300.0, 20.0)] * 10, SIZE)
    statures.learn([person(700.0, 90.0)] * 10_000, SIZE)
    assert statures.at(300.0) == 20.0


def test_a_camera_that_was_turned_is_learnt_again() -> None:
    statures = Statures()
    statures.learn([person(500.0, 40.0)] * 50, SIZE)
    statures.learn([person(500.0, 90.0)] * 50, SIZE)
    assert statures.at(500.0) == 90.0


def test_another_picture_size_starts_over() -> None:
    statures = Statures()
    statures.learn([person(500.0, 40.0)] * 50, SIZE)
    statures.learn([], (500, 500))
    assert statures.at(250.0) is None


def test_who_is_cut_off_by_the_bottom_edge_says_nothing() -> None:
    statures = Statures()
    statures.learn([person(1000.0, 40.0)] * 50, SIZE)
    assert statures.at(999.0) is None


def test_a_camera_that_turned_up_or_down_forgets_and_sideways_does_not() -> None:
    for shifts, known in (([5.0, 5.0], True), ([12.0, 12.0], False), ([-30.0], False), ([15.0, -15.0], True)):
        statures = Statures()
        statures.learn([person(500.0, 40.0)] * 50, SIZE)
        for dy in shifts:
            statures.shift(dy)
        assert (statures.at(500.0) is not None) == known
    statures.learn([person(500.0, 60.0)] * 8, SIZE)
    assert statures.at(500.0) is not None


def test_what_was_learnt_after_a_turn_is_not_forgotten_with_it() -> None:
    statures = Statures()
    statures.learn([person(500.0, 40.0)] * 50, SIZE)
    statures.shift(200.0)
    statures.learn([person(500.0, 90.0)] * 8, SIZE)
    assert statures.at(500.0) == 90.0
