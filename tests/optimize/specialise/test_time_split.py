"""Pictures are split by time, and persons whose visit began before do not judge."""

from __future__ import annotations

import numpy as np

from detector.core.types import ArrayImage
from detector.optimize.specialise.camera_pictures import TimedPicture
from detector.optimize.specialise.teachers import PictureLabels
from detector.optimize.specialise.time_split import judged_part, visits_of

NOTHING = ArrayImage(np.zeros((200, 600, 3), np.uint8))


def series(gap_s: float) -> tuple[list[TimedPicture], list[PictureLabels]]:
    """One stands all the time, another comes after picture 12."""
    pictures, labels = [], []
    for number in range(20):
        pictures.append(TimedPicture(name=f"{number}", image=NOTHING, at_s=number * gap_s))
        persons = [[10, 50, 50, 150]] + ([[300, 50, 340, 150]] if number >= 12 else [])
        labels.append(PictureLabels(persons=np.array(persons, np.float32), unsure=np.zeros((0, 4), np.float32)))
    return pictures, labels


def test_visits_are_followed() -> None:
    rows = visits_of(*series(0.5))
    assert {int(row[0]) for row in rows} == {1}
    assert {int(row[1]) for row in rows[12:]} == {2}


def test_who_was_taught_does_not_judge() -> None:
    judged, followed = judged_part(*series(0.5), first=10)
    assert followed
    assert [len(one.labels.persons) for one in judged] == [0, 0] + [1] * 8
    assert all(np.array_equal(one.labels.unsure, [[10, 50, 50, 150]]) for one in judged)
    assert {int(visit) for one in judged for visit in one.visits} == {2}


def test_pictures_far_apart_have_no_visits() -> None:
    judged, followed = judged_part(*series(10.0), first=10)
    assert not followed
    assert [len(one.labels.persons) for one in judged] == [1, 1] + [2] * 8
    assert all((one.visits == -1).all() for one in judged)
