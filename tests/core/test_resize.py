from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from detector.capture.raw_image import RawImage
from detector.core.resize import Shrinker
from detector.core.types import ArrayImage
from detector.inference.preprocess import Letterbox
from detector.inference.spec import InputSpec
from support.planes import planes, scene

SPEC = InputSpec(color="rgb", scale=1 / 255, pad=114, placement="center")


@pytest.mark.parametrize(
    ("source", "target"), [((640, 360), (320, 180)), ((400, 300), (384, 288)), ((96, 54), (96, 54))]
)
def test_shrinking_first_gives_the_picture_that_shrinking_last_gives(
    source: tuple[int, int], target: tuple[int, int]
) -> None:
    given = planes(scene(*source), padded=24)
    small = Shrinker(width=target[0], height=target[1])(given)
    assert small is not None
    late = cv2.resize(RawImage(given).bgr(), target, interpolation=cv2.INTER_LINEAR)
    assert np.abs(small.astype(int) - late).max() <= 6  # of 255; swapped planes: 39 in the mean, a pixel aside: 150


def test_what_opencv_would_convert_wrongly_is_left_to_the_decoder() -> None:
    shrink, given = Shrinker(width=320, height=180), planes(scene(640, 360))
    assert shrink(given) is not None
    assert shrink(replace(given, matrix="bt709")) is None
    assert shrink(replace(given, full_range=True)) is None
    assert shrink(replace(given, format="nv12", planes=given.planes[:2])) is None


@pytest.mark.parametrize("target", [(641, 360), (640, 358), (321, 180), (320, 181)])
def test_neither_larger_nor_odd_pictures(target: tuple[int, int]) -> None:
    given = planes(scene(640, 358))
    shrunk = Shrinker(width=target[0], height=target[1])(given)
    assert (shrunk is None) == (target != (640, 358))


def test_a_model_that_takes_bytes_gets_the_same_picture() -> None:
    first, second = (Letterbox(width=416, height=416, spec=SPEC, pixels=True) for _ in range(2))
    image = RawImage(planes(scene(640, 360)))
    near, placed = first(image)
    whole, expected = second(ArrayImage(image.bgr()))
    assert placed == expected
    assert near.dtype == np.uint8
    assert np.abs(near.astype(int) - whole).max() <= 6


def test_the_tensor_is_the_same_either_way_and_the_padding_stays() -> None:
    first, second = (Letterbox(width=416, height=416, spec=SPEC) for _ in range(2))
    for height in (360, 480, 360):  # the buffers follow the camera's size
        image = RawImage(planes(scene(640, height), padded=8))
        near, placed = first(image)
        whole, expected = second(ArrayImage(image.bgr()))
        assert placed == expected
        assert np.abs(near - whole).max() <= 6 / 255
        assert np.allclose(near[:, :, : placed.pad_y], 114 / 255)
        assert np.allclose(near[:, :, placed.pad_y + height * 416 // 640 :], 114 / 255)
