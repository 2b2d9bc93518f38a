from __future__ import annotations

import cv2
import numpy as np
import pytest

from detector.alerts.snapshot_fit import SMALLEST, fitted
from detector.core.jpeg import encode_jpeg
from detector.core.types import ArrayImage

NOISE = encode_jpeg(ArrayImage(np.random.default_rng(1).integers(0, 256, (540, 960, 3), np.uint8)))


@pytest.mark.parametrize("limit", [None, len(NOISE)])
def test_what_is_small_enough_stays_as_it_is(limit: int | None) -> None:
    assert fitted(NOISE, limit) is NOISE


@pytest.mark.parametrize("limit", [300_000, 100_000, 20_000])
def test_a_picture_is_made_as_large_as_the_limit_allows(limit: int) -> None:
    found = fitted(NOISE, limit)
    assert found is not None
    assert limit / 6 < len(found) <= limit
    pixels = cv2.imdecode(np.frombuffer(found, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape[1] / pixels.shape[0] == pytest.approx(960 / 540, rel=0.02)


@pytest.mark.parametrize("limit", [0, SMALLEST - 1, SMALLEST + 1])
def test_below_a_certain_size_there_is_no_picture(limit: int) -> None:
    assert fitted(NOISE, limit) is None


def test_what_is_no_picture_is_left_out() -> None:
    assert fitted(b"no jpeg" * 1000, 2000) is None
