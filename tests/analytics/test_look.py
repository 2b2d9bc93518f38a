"""Looks: the same thing is known again in other light, and another person in its place is not taken for it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.visit_conditions import CONDITIONS, day
from detector.analytics.look import LENGTH, SAME_LOOK, describe, similarity
from detector.core.types import Box, Pixels
from support.trackscore import read_truth

BOX: Box = (10.0, 10.0, 50.0, 110.0)


def picture(seed: int = 0) -> Pixels:
    coarse = np.random.default_rng(seed).integers(30, 220, (12, 8), np.uint8)
    return np.asarray(cv2.resize(coarse, (80, 120), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_the_same_thing_looks_the_same_in_other_light_and_another_does_not() -> None:
    look = describe(picture(), BOX)
    assert len(look) == LENGTH
    assert similarity(look, look) == pytest.approx(1.0)
    darker = (picture() * 0.4 + 10).astype(np.uint8)
    assert similarity(look, describe(darker, BOX)) > 0.98
    assert similarity(look, describe(picture(1), BOX)) < 0.6


def test_nothing_to_see_is_like_nothing_to_see_alone() -> None:
    flat = describe(np.full((120, 80), 90, np.uint8), BOX)
    assert similarity(flat, describe(np.zeros((120, 80), np.uint8), BOX)) == 1.0
    assert similarity(flat, describe(picture(), BOX)) == 0.0


@pytest.mark.parametrize(
    "box",
    [
        (-50.0, -50.0, 20.0, 20.0),
        (70.0, 100.0, 500.0, 500.0),
        (30.0, 30.0, 30.0, 30.0),
        (30.4, 30.4, 33.0, 35.0),
        (200.0, 200.0, 300.0, 300.0),
        (-9.0, -9.0, -1.0, -1.0),
        (40.0, 40.0, 20.0, 20.0),
    ],
)
def test_any_box_has_a_look(box: Box) -> None:
    assert len(describe(picture(), box)) == LENGTH


def test_a_strided_view_is_taken_as_it_is() -> None:
    colours = np.repeat(picture()[:, :, None], 3, axis=2)
    assert describe(colours[:, :, 1], BOX) == describe(picture(), BOX)


def test_people_and_places_of_a_recording_are_told_apart(shared: Path) -> None:
    """vtest: 768 x 576 px, 100 to 130 px tall; the jitter of boxes is 3 % of their height."""
    pictures, truth = frames(shared), read_truth(shared / "media" / "video" / "gt" / "vtest_mot_gt.csv")
    random = np.random.default_rng(0)
    people = [(n, box) for n in pictures for _, box in truth.get(n, ()) if box[3] - box[1] > 60]
    numbers = list(pictures)
    same: dict[str, list[float]] = {}
    others: list[float] = []
    for k in range(300):
        number, box = people[random.integers(len(people))]
        look = describe(pictures[number][:, :, 1], box)
        change = list({"day": day, **CONDITIONS}.items())[k % 4]
        seen = change[1](pictures[number], k)[:, :, 1]
        moved = np.array(box) + random.normal(0.0, 0.03, 4) * (box[3] - box[1]) * np.array([0.5, 1, 0.5, 1])
        same.setdefault(change[0], []).append(similarity(look, describe(seen, tuple(moved))))
        later = numbers[(numbers.index(number) + len(numbers) // 2) % len(numbers)]
        others.append(similarity(look, describe(pictures[later][:, :, 1], box)))
        other_number, other = people[random.integers(len(people))]
        if abs(other_number - number) > 100:
            others.append(similarity(look, describe(pictures[other_number][:, :, 1], other)))
    assert len(others) > 400
    for condition, values in same.items():
        assert np.mean(np.array(values) >= SAME_LOOK) >= 0.9, condition
    assert np.mean(np.concatenate([np.array(v) for v in same.values()]) >= SAME_LOOK) >= 0.95
    assert np.mean(np.array(others) >= SAME_LOOK) <= 0.02


def frames(shared: Path) -> dict[int, Pixels]:
    """Every 20th picture of the clip by its number."""
    reader = cv2.VideoCapture(str(shared / "media" / "video" / "vtest.avi"))
    found: dict[int, Pixels] = {}
    number = 0
    while reader.grab():
        if number % 20 == 0:
            found[number] = np.asarray(reader.retrieve()[1], np.uint8)
        number += 1
    reader.release()
    return found
