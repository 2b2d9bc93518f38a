"""The gate offers what sees the same persons and visits, and says what is lost where it does not."""

from __future__ import annotations

import numpy as np

from detector.core.types import Floats
from detector.optimize.specialise.specialist_gate import Found, JudgedPicture, judge_specialist
from detector.optimize.specialise.teachers import PictureLabels

COUNT = 60
NONE: Floats = np.zeros((0, 4), np.float32)


def box(x: float) -> list[float]:
    return [x, 50.0, x + 40.0, 150.0]


def pictures(unsure: Floats = NONE) -> list[JudgedPicture]:
    """Two persons in each, of two visits."""
    persons = np.array([box(10), box(200)], np.float32)
    labels = PictureLabels(persons=persons, unsure=unsure)
    return [JudgedPicture(labels=labels, visits=np.array([1, 2]), at_s=float(n)) for n in range(COUNT)]


def found(*xs: float, score: float = 0.9) -> Found:
    return np.array([box(x) for x in xs], np.float32).reshape(-1, 4), np.full(len(xs), score, np.float32)


def judge(student: list[Found], judged: list[JudgedPicture] | None = None) -> tuple[str, ...]:
    general = [found(10, 200)] * COUNT
    return judge_specialist(judged or pictures(), student, general, max_loss=0.02).reasons


def test_the_same_sight_is_accepted() -> None:
    verdict = judge_specialist(pictures(), [found(10, 200)] * COUNT, [found(10, 200)] * COUNT, max_loss=0.02)
    assert verdict.accepted
    assert (verdict.persons, verdict.visits, verdict.student.visits) == (2 * COUNT, 2, 2)
    assert verdict.student.ap50 == verdict.student.found == verdict.student.iou == 1.0
    assert verdict.to_json()["accepted"] is True


def test_a_lost_person_and_visit_are_named() -> None:
    reasons = judge([found(10)] * COUNT)
    assert reasons[0] == ("AP50: 0.505 against the general model's 1.000, a loss of up to 0.495 where 0.02 is allowed")
    assert reasons[1].startswith("persons found: 0.500 against the general model's 1.000")
    assert reasons[-1] == "it misses 1 of 2 visits that the general model finds"


def test_low_scores_do_not_find_persons() -> None:
    reasons = judge([found(10, 200, score=0.4)] * COUNT)
    assert [reason.split(":")[0] for reason in reasons] == ["persons found", "it misses 2 of 2 visits that the general model finds"]  # fmt: skip


def test_a_lasting_false_box_is_a_false_visit() -> None:
    assert judge([found(10, 200, 400)] * COUNT)[-1] == "1 false visits, the general model has 0"


def test_where_teachers_are_unsure_nothing_counts() -> None:
    unsure = np.array([box(400)], np.float32)
    assert judge([found(10, 200, 400)] * COUNT, pictures(unsure)) == ()


def test_loose_boxes_are_refused() -> None:
    assert judge([found(18, 208)] * COUNT)[-1].startswith("overlap of boxes: 0.667 against the general model's 1.000")


def test_a_loss_that_chance_could_hide_is_not_accepted() -> None:
    """One person missed in 60 pictures is 0.8 %, but up to 1.7 % would not surprise."""
    student = [found(10, 200)] * (COUNT - 1) + [found(10)]
    general = [found(10, 200)] * COUNT
    verdict = judge_specialist(pictures(), student, general, max_loss=0.01)
    assert 1.0 - verdict.student.found < 0.01 < verdict.bounds["found"]
    assert not verdict.accepted


def test_few_persons_judge_nothing() -> None:
    few, same = pictures()[:10], [found(10, 200)] * 10
    assert judge_specialist(few, same, same, max_loss=0.02).reasons == (
        "only 20 persons to judge by who did not teach, at least 40 are needed: give it more pictures",
    )
