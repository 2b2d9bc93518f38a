from __future__ import annotations

import cv2
import numpy as np
import pytest

from detector.analytics.pasted_person import Cutout, cut_out, paste, quality
from detector.core.types import Pixels

BOX = (120.0, 60.0, 160.0, 180.0)


def scene(seed: int = 0) -> Pixels:
    """Patches of light and dark, and a bright figure before a dark ground."""
    coarse = np.random.default_rng(seed).integers(30, 200, (18, 32, 3), np.uint8)
    pixels = np.asarray(cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_NEAREST), np.uint8)
    pixels[50:190, 105:175] = 60
    cv2.ellipse(pixels, (140, 120), (18, 58), 0, 0, 360, (210, 220, 230), -1)
    return pixels


def person() -> Cutout:
    made = cut_out(scene(), BOX)
    assert made is not None
    return made


def contrast_of_person(pixels: Pixels) -> float:
    """How much brighter the middle of the pasted person is than the picture without them."""
    made, (x1, y1, x2, y2) = paste(pixels, person(), (250.0, 200.0), 100, quality(pixels))
    x, y = round((x1 + x2) / 2), round((y1 + y2) / 2)
    return float(
        made[y - 5 : y + 5, x - 5 : x + 5].mean() - pixels[round(y1) : round(y2), round(x1) : round(x2)].mean()
    )


def test_a_person_is_separated_from_the_ground() -> None:
    made = person()
    assert made.pixels.shape == (120, 40, 3)
    assert made.pixels[made.mask > 0].mean() > 200
    assert 0.5 < (made.mask > 0).mean() < 0.85
    assert made.background == pytest.approx(60, abs=15)


@pytest.mark.parametrize("box", [(5.0, 5.0, 7.0, 9.0), (100.0, 100.0, 100.0, 100.0), (400.0, 300.0, 500.0, 400.0)])
def test_a_tiny_box_gives_nobody(box: tuple[float, float, float, float]) -> None:
    assert cut_out(scene(), box) is None


def test_a_box_as_large_as_the_picture_still_gives_somebody() -> None:
    assert cut_out(scene(), (0.0, 0.0, 320.0, 240.0)) is not None


@pytest.mark.parametrize("foot", [(-50.0, 10.0), (160.0, 120.0), (500.0, 900.0)])
@pytest.mark.parametrize("height", [2, 50, 216])
def test_the_person_is_inside_and_the_rest_is_untouched(foot: tuple[float, float], height: int) -> None:
    before = scene(1)
    copy = before.copy()
    made, (x1, y1, x2, y2) = paste(before, person(), foot, height, quality(before))
    assert (before == copy).all()
    assert 0 <= x1 < x2 <= 320
    assert 0 <= y1 < y2 <= 240
    assert y2 - y1 == height
    changed = np.argwhere((made != before).any(axis=2))
    assert len(changed)
    assert (changed >= (y1, x1)).all()
    assert (changed < (y2, x2)).all()


def test_a_person_loses_what_the_picture_loses() -> None:
    good = scene(1)
    clear = contrast_of_person(good)
    foggy = contrast_of_person((good * 0.25 + 150).astype(np.uint8))
    dark = contrast_of_person((good * 0.1).astype(np.uint8))
    assert clear > 60
    assert foggy == pytest.approx(clear / 4, rel=0.3)
    assert dark == pytest.approx(clear / 10, abs=3)
    assert abs(contrast_of_person(np.zeros((240, 320, 3), np.uint8))) < 3
    assert abs(contrast_of_person(np.full((240, 320, 3), 120, np.uint8))) < 3


def test_a_person_is_as_blurred_as_the_picture() -> None:
    def edge(pixels: Pixels) -> float:
        made, (x1, y1, x2, y2) = paste(pixels, person(), (250.0, 200.0), 100, quality(pixels))
        row = made[round((y1 + y2) / 2), round(x1) : round(x2)].astype(np.float64).mean(axis=1)
        return float(np.abs(np.diff(row)).max())

    flat = cv2.GaussianBlur(scene(1), (0, 0), 6.0)
    assert edge(np.asarray(flat, np.uint8)) < 0.5 * edge(scene(1))


def test_the_quality_of_a_picture() -> None:
    good = scene(1)
    noisy = np.clip(good + np.random.default_rng(0).normal(0, 8, good.shape), 0, 255).astype(np.uint8)
    assert quality(noisy).noise > quality(good).noise + 2
    assert quality(noisy).contrast == pytest.approx(quality(good).contrast, rel=0.1)
    assert quality((good * 0.5).astype(np.uint8)).contrast == pytest.approx(quality(good).contrast / 2, rel=0.1)
    assert quality(np.zeros((10, 10, 3), np.uint8)).contrast == 0.0
