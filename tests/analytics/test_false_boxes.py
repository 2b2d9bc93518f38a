from __future__ import annotations

import math

import pytest

from detector.analytics.false_boxes import FalseBoxes, cell_of

PLACE, ELSEWHERE = (3, 4), (9, 9)


def tree(times: int, *, score: float = 0.4) -> FalseBoxes:
    boxes = FalseBoxes()
    for k in range(times):
        boxes.add(PLACE, score, float(k))
    return boxes


def test_what_is_seen_often_tells_less_there_and_only_there() -> None:
    boxes = tree(100)
    assert boxes.penalty(PLACE, 0.4, 100.0) == pytest.approx(math.log(101), abs=0.1)
    assert boxes.penalty(PLACE, 0.4, 100.0) > tree(10).penalty(PLACE, 0.4, 100.0)
    assert boxes.penalty(ELSEWHERE, 0.4, 100.0) == 0.0


def test_a_tree_of_weak_scores_says_nothing_of_a_sure_person_before_it() -> None:
    assert tree(100).penalty(PLACE, 0.8, 100.0) == 0.0
    assert tree(100, score=0.8).penalty(PLACE, 0.4, 100.0) > 4.0, "what was sure of nobody says much of weaker ones"


def test_half_is_forgotten_after_an_hour_and_all_when_the_view_changes() -> None:
    boxes = tree(100)
    assert boxes.penalty(PLACE, 0.4, 3700.0) == pytest.approx(math.log(51), abs=0.1)
    assert boxes.penalty(PLACE, 0.4, 86400.0) == 0.0
    boxes = tree(100)
    boxes.forget()
    assert boxes.penalty(PLACE, 0.4, 100.0) == 0.0


def test_places_are_cells_of_the_picture_whatever_its_size() -> None:
    assert cell_of((0.0, 0.0, 10.0, 10.0), (640, 480)) == (0, 0)
    assert cell_of((630.0, 470.0, 650.0, 490.0), (640, 480)) == (23, 15)
    assert cell_of((100.0, 100.0, 120.0, 140.0), (640, 480)) == cell_of((200.0, 200.0, 240.0, 280.0), (1280, 960))
