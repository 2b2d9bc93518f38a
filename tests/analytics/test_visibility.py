from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from detector.analytics.pasted_person import Cutout
from detector.analytics.visibility import HEIGHTS, Standing, Visibility, assess
from detector.core.types import Box, Pixels

PERSON = Cutout(
    pixels=np.full((100, 40, 3), 230, np.uint8),
    mask=np.full((100, 40), 255, np.uint8),
    background=60.0,
    contrast=40.0,
    sharpness=0.2,
)


def scene() -> Pixels:
    coarse = np.random.default_rng(0).integers(20, 160, (18, 32, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (640, 360), interpolation=cv2.INTER_NEAREST), np.uint8)


class Finder:
    """Finds what is taller than `least` px and brighter than what was there, as a model would; `there` too."""

    def __init__(self, before: Pixels, *, least: float, there: Sequence[Box] = ()) -> None:
        self.before, self.least, self.there = before, least, there
        self.asked: list[Box] = []

    def __call__(self, pixels: Pixels, box: Box | None) -> tuple[list[Box], list[float]]:
        found = list(self.there)
        if box is not None:
            self.asked.append(box)
            x1, y1, x2, y2 = (round(side) for side in box)
            change = pixels[y1:y2, x1:x2].astype(float) - self.before[y1:y2, x1:x2]
            if y2 - y1 >= self.least and change.mean() > 20:
                found.append(box)
        return found, [0.9] * len(found)


@pytest.mark.parametrize(("least", "smallest"), [(0.0, HEIGHTS[-1]), (50.0, 0.17), (130.0, 0.47)])
def test_the_smallest_person_that_is_found(least: float, smallest: float) -> None:
    finder = Finder(scene(), least=least)
    result = assess(scene(), PERSON, Standing(height=0.5), finder, min_score=0.5)
    assert (result.seen, result.smallest, result.usual, result.reason) == (True, smallest, 0.5, None)


def test_people_who_are_usually_too_small_are_not_seen_and_the_size_from_which_on_is_named() -> None:
    result = assess(scene(), PERSON, Standing(height=0.1), Finder(scene(), least=60.0), min_score=0.5)
    assert (result.seen, result.smallest) == (False, 0.17)
    assert result.reason == "people are too small in the picture: too far away, or the picture is too small"


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((360, 640, 3), np.uint8), "the picture is dark"),
        (np.full((360, 640, 3), 128, np.uint8), "the picture has almost no contrast: fog, a cover, or a dirty lens"),
        ((scene() * 0.04 + 170).astype(np.uint8), "the picture has almost no contrast: fog, a cover, or a dirty lens"),
    ],
)
def test_nobody_is_seen_in_a_picture_that_shows_nothing(pixels: Pixels, reason: str) -> None:
    finder = Finder(pixels, least=0.0)
    result = assess(pixels, PERSON, Standing(), finder, min_score=0.5)
    assert (result.seen, result.smallest, result.reason) == (False, None, reason)
    assert len(finder.asked) == 3, "smaller ones are not tried"


def test_a_score_too_low_for_an_alert_does_not_count() -> None:
    result = assess(scene(), PERSON, Standing(), Finder(scene(), least=0.0), min_score=0.95)
    assert (result.seen, result.reason) == (False, "the model finds nobody in it")


def test_the_person_stands_where_nobody_really_is() -> None:
    somebody = (280.0, 200.0, 360.0, 330.0)
    finder = Finder(scene(), least=0.0, there=[somebody])
    assess(scene(), PERSON, Standing(x=0.5, foot=0.9, height=0.34), finder, min_score=0.5)
    x1, _, x2, _ = finder.asked[0]
    assert x2 <= 285 or x1 >= 355


@pytest.mark.parametrize(
    ("visibility", "words"),
    [
        (
            Visibility(seen=True, usual=0.34, smallest=0.034),
            "people from 24 px tall on are found, 3% of the picture's height; there they are usually 245 px tall",
        ),
        (
            Visibility(seen=False, usual=0.1, smallest=0.24, reason="blur"),
            "people from 173 px tall on are found, 24% of the picture's height, but there they are usually 72 px tall: blur",
        ),
        (
            Visibility(seen=False, usual=0.1, smallest=None, reason="the picture is dark"),
            "people of no size are found: the picture is dark",
        ),
    ],
)
def test_what_is_seen_in_words(visibility: Visibility, words: str) -> None:
    assert visibility.in_words(720) == words
