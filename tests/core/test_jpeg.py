from __future__ import annotations

from collections.abc import Callable
from typing import cast

import cv2
import numpy as np
import pytest

from detector.capture.raw_image import RawImage
from detector.core.jpeg import Label, encode_jpeg, render
from detector.core.types import ArrayImage, Image, Pixels
from support.planes import planes, scene

LABEL = Label(box=(200.0, 100.0, 400.0, 300.0), text="person 0.83")
GREEN = (80, 220, 60)
Made = Callable[[Pixels], Image]


def raw(picture: Pixels) -> Image:
    return RawImage(planes(picture, padded=32))


def decoded(jpeg: bytes) -> Pixels:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def test_a_picture_without_labels_is_the_pictures_own() -> None:
    picture = scene(640, 360)
    assert render(ArrayImage(picture)) is picture
    assert np.array_equal(render(ArrayImage(picture), [LABEL]), picture) is False


@pytest.mark.parametrize("made", [ArrayImage, raw])
def test_labels_are_not_drawn_into_the_picture_itself(made: Made) -> None:
    image = made(scene(640, 360))
    before = image.bgr().copy()
    encode_jpeg(image, [LABEL])
    encode_jpeg(image, [LABEL], max_width=320)
    assert np.array_equal(image.bgr(), before)


@pytest.mark.parametrize("made", [ArrayImage, raw])
@pytest.mark.parametrize("width", [320, 427, 200, 100])
def test_a_smaller_picture_shows_the_same(made: Made, width: int) -> None:
    image = made(scene(640, 360))
    jpeg = decoded(encode_jpeg(image, max_width=width))
    assert jpeg.shape == (round(360 * width / 640), width, 3)
    small = cv2.resize(image.bgr(), (jpeg.shape[1], jpeg.shape[0]), interpolation=cv2.INTER_AREA)
    assert np.abs(jpeg.astype(int) - small).mean() < 3.0


@pytest.mark.parametrize("made", [ArrayImage, raw])
def test_boxes_shrink_with_the_picture(made: Made) -> None:
    pixels = render(made(scene(640, 360)), [LABEL], max_width=320)
    drawn = (pixels == GREEN).all(axis=2)
    rows, columns = np.nonzero(drawn)
    assert abs(int(columns.min()) - 100) <= 2
    assert abs(int(columns.max()) - 200) <= 2
    assert abs(int(rows.max()) - 150) <= 2


def test_a_picture_is_never_made_larger() -> None:
    assert decoded(encode_jpeg(ArrayImage(scene(64, 48)), max_width=960)).shape == (48, 64, 3)


def test_sizes_in_turn_do_not_mix() -> None:
    image = raw(scene(640, 360))
    widths = [320, 160, 80, 64, 40, 32] * 2
    shapes = [decoded(encode_jpeg(image, [LABEL], max_width=width)).shape[1] for width in widths]
    assert shapes == widths


def test_threads_do_not_draw_into_each_others_pictures() -> None:
    from concurrent.futures import ThreadPoolExecutor

    images = [raw(np.full((360, 640, 3), value, np.uint8)) for value in (40, 80, 120, 160)]

    def own(index: int) -> bool:
        image = images[index % 4]
        value = int(image.bgr()[0, 0, 0])
        return all(
            abs(int(cast("int", decoded(encode_jpeg(image, max_width=320))[0, 0, 0])) - value) <= 3 for _ in range(5)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(own, range(32)))
