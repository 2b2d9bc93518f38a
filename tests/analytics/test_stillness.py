from __future__ import annotations

import pytest

from detector.analytics.stillness import Origin, Stillness
from detector.core.types import Box
from support.people import HEIGHT, WIDTH, person

HERE = person(0.5)  # 200 px tall


def test_stationary_after_five_seconds_in_one_place() -> None:
    still = Stillness()
    for tenth in range(50):
        still.observe(HERE, tenth / 10)
        assert not still.stationary
    still.observe(HERE, 5.0)
    assert still.stationary
    still.observe(person(0.5 + 51 / WIDTH), 5.1)
    assert not still.stationary


@pytest.mark.parametrize(
    ("box", "left"),
    [
        (person(0.5 + 49 / WIDTH), False),
        (person(0.5 + 51 / WIDTH), True),
        (person(0.5, 0.8 - 51 / HEIGHT), True),
        (person(0.5, height=0.4 * 1.45), False),
        (person(0.5, height=0.4 * 1.55), True),
        (person(0.5, height=0.4 / 1.55), True),
    ],
)
def test_the_origin_is_left_by_a_move_or_another_size_in_consecutive_frames(box: Box, left: bool) -> None:
    origin = Origin(inertia=3)
    for at in (HERE, box, box, HERE, box, box):
        origin.observe(at)
        assert not origin.left, "outliers"
    origin.observe(box)
    assert origin.left is left
    for _ in range(10):
        origin.observe(HERE)
    assert origin.left is left, "who has left once is a person"


def test_the_origin_of_an_empty_box_takes_no_division_by_zero() -> None:
    origin = Origin(inertia=1)
    for _ in range(3):
        origin.observe((5.0, 5.0, 5.0, 5.0))
    assert not origin.left


def test_a_turn_of_the_camera_is_no_move() -> None:
    still, origin = Stillness(), Origin(inertia=1)
    for tenth in range(60):
        dx = 5.0 * tenth
        still.observe((HERE[0] + dx, HERE[1], HERE[2] + dx, HERE[3]), tenth / 10)
        origin.observe((HERE[0] + dx, HERE[1], HERE[2] + dx, HERE[3]))
        still.shift(5.0, 0.0)
        origin.shift(5.0, 0.0)
    assert (still.stationary, origin.left) == (True, False)
