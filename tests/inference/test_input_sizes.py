from __future__ import annotations

import pytest

from detector.inference.input_sizes import allowed_input_sizes, best_input_size


@pytest.mark.parametrize(
    ("base", "shapes"),
    [
        ((640, 640), {(640, 640), (640, 480), (640, 384), (480, 640), (384, 640)}),
        ((416, 416), {(416, 416), (416, 320), (416, 256), (320, 416), (256, 416)}),
        ((64, 64), {(64, 64)}),
        ((640, 384), {(640, 384)}),
        ((600, 600), {(600, 600)}),
    ],
)
def test_allowed_shapes(base: tuple[int, int], shapes: set[tuple[int, int]]) -> None:
    assert set(allowed_input_sizes(base)) == shapes


@pytest.mark.parametrize(
    ("frame", "shape"),
    [
        ((1920, 1080), (640, 384)),
        ((1280, 720), (640, 384)),
        ((768, 576), (640, 480)),
        ((320, 240), (640, 480)),
        ((640, 640), (640, 640)),
        ((1280, 1024), (640, 640)),  # 5:4 would shrink in 4:3
        ((2560, 1080), (640, 384)),
        ((1080, 1920), (384, 640)),
        ((480, 640), (480, 640)),
        ((1920, 1088), (640, 384)),
        ((1, 5000), (384, 640)),
    ],
)
def test_best_shape(frame: tuple[int, int], shape: tuple[int, int]) -> None:
    assert best_input_size((640, 640), *frame) == shape


def test_persons_are_never_smaller_than_in_the_square() -> None:
    for width in range(100, 2000, 37):
        for height in range(100, 2000, 41):
            chosen = best_input_size((416, 416), width, height)
            assert min(chosen[0] / width, chosen[1] / height) >= min(416 / width, 416 / height) * 0.999


def test_no_picture_has_no_shape() -> None:
    with pytest.raises(ValueError, match="no aspect"):
        best_input_size((640, 640), 0, 10)
