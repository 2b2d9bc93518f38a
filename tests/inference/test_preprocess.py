from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.core.errors import InferenceError
from detector.core.types import ArrayImage, Floats, Pixels
from detector.inference.preprocess import Letterbox, place
from detector.inference.spec import InputSpec

ULTRALYTICS = InputSpec(color="rgb", scale=1 / 255)
YOLOX = InputSpec(color="bgr", scale=1.0, placement="top-left")
SIZES = [(768, 576), (1920, 1080), (1080, 1920), (641, 479), (333, 777), (64, 48), (1, 1), (1, 500), (500, 1), (7, 3)]


def noise(width: int, height: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def naive(pixels: Pixels, side: int, spec: InputSpec) -> Floats:
    """The same by whole-picture steps on a grey canvas."""
    height, width = pixels.shape[:2]
    ratio = min(side / width, side / height)
    new_width, new_height = max(1, round(width * ratio)), max(1, round(height * ratio))
    canvas = np.full((side, side, 3), spec.pad, np.uint8)
    left, top = ((side - new_width) // 2, (side - new_height) // 2) if spec.placement == "center" else (0, 0)
    canvas[top : top + new_height, left : left + new_width] = cv2.resize(pixels, (new_width, new_height))
    if spec.color == "rgb":
        canvas = canvas[:, :, ::-1]
    tensor: Floats = (canvas.astype(np.float32) * np.float32(spec.scale)).transpose(2, 0, 1)[None]
    return tensor


@pytest.mark.parametrize("spec", [ULTRALYTICS, YOLOX], ids=["ultralytics", "yolox"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_tensor_equals_the_naive_one(width: int, height: int, spec: InputSpec) -> None:
    pixels = noise(width, height)
    tensor, placement = Letterbox(width=416, height=416, spec=spec)(ArrayImage(pixels))
    assert tensor.shape == (1, 3, 416, 416)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    np.testing.assert_allclose(tensor, naive(pixels, 416, spec), atol=1e-6)
    assert (placement.source_width, placement.source_height) == (width, height)


def test_picture_of_the_input_size_is_taken_as_it_is() -> None:
    pixels = noise(416, 416)
    tensor, placement = Letterbox(width=416, height=416, spec=YOLOX)(ArrayImage(pixels))
    np.testing.assert_array_equal(tensor[0], pixels.transpose(2, 0, 1))
    assert (placement.scale_x, placement.scale_y, placement.pad_x, placement.pad_y) == (1.0, 1.0, 0, 0)


@pytest.mark.parametrize("spec", [ULTRALYTICS, YOLOX], ids=["ultralytics", "yolox"])
def test_nothing_of_the_last_picture_stays(spec: InputSpec) -> None:
    used = Letterbox(width=320, height=320, spec=spec)
    for number, (width, height) in enumerate([*SIZES, *reversed(SIZES)]):
        pixels = noise(width, height, number)
        np.testing.assert_allclose(used(ArrayImage(pixels))[0], naive(pixels, 320, spec), atol=1e-6)


def test_buffer_is_reused() -> None:
    letterbox = Letterbox(width=64, height=64, spec=YOLOX)
    first, _ = letterbox(ArrayImage(noise(100, 50)))
    second, _ = letterbox(ArrayImage(noise(30, 90)))
    assert first is second


def test_picture_is_not_written_to() -> None:
    pixels = noise(64, 64)
    before = pixels.copy()
    pixels.flags.writeable = False
    Letterbox(width=64, height=64, spec=ULTRALYTICS)(ArrayImage(pixels))
    Letterbox(width=32, height=32, spec=ULTRALYTICS)(ArrayImage(pixels))
    np.testing.assert_array_equal(pixels, before)


def test_strided_picture_is_right() -> None:
    wide = noise(200, 100)
    view = wide[10:90:2, 20:180]
    letterbox = Letterbox(width=64, height=64, spec=YOLOX)
    strided = letterbox(ArrayImage(view))[0].copy()
    np.testing.assert_array_equal(strided, letterbox(ArrayImage(np.ascontiguousarray(view)))[0])


def test_centre_puts_the_odd_pixel_to_the_bottom_and_right() -> None:
    placement, size = place((640, 427), (640, 640), centered=True)
    assert size == (640, 427)
    assert (placement.pad_x, placement.pad_y) == (0, 106)  # 213 px: 106 above, 107 below
    placement, _ = place((640, 427), (640, 640), centered=False)
    assert (placement.pad_x, placement.pad_y) == (0, 0)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
    ],
    ids=["empty", "grey", "alpha", "floats"],
)
def test_what_is_no_picture_is_refused(pixels: Pixels) -> None:
    with pytest.raises(InferenceError, match="not a BGR picture"):
        Letterbox(width=64, height=64, spec=YOLOX)(ArrayImage(pixels))


def test_input_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no picture"):
        Letterbox(width=0, height=64, spec=YOLOX)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.sampled_from([(416, 416), (640, 640), (640, 384), (320, 480)]),
    st.booleans(),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_boxes_go_in_and_come_back(
    width: int, height: int, target: tuple[int, int], centered: bool, corners: list[float]
) -> None:
    placement, (new_width, new_height) = place((width, height), target, centered=centered)
    xs, ys = sorted((corners[0] * width, corners[1] * width)), sorted((corners[2] * height, corners[3] * height))
    box = np.array([[xs[0], ys[0], xs[1], ys[1]]], np.float32)
    scale, pad = (placement.scale_x, placement.scale_y) * 2, (placement.pad_x, placement.pad_y) * 2
    inside = box * np.array(scale, np.float32) + np.array(pad, np.float32)
    slack = 0.01
    assert (inside >= -slack).all()
    assert (inside[:, 0::2] <= placement.pad_x + new_width + slack).all()
    assert (inside[:, 1::2] <= placement.pad_y + new_height + slack).all()
    np.testing.assert_allclose(placement.to_source(inside), box, atol=1.0)


def test_boxes_are_clipped_to_the_picture() -> None:
    placement, _ = place((200, 100), (64, 64), centered=True)
    whole = placement.to_source(np.array([[-50, -50, 500, 500]], np.float32))
    np.testing.assert_array_equal(whole, [[0, 0, 200, 100]])
    assert placement.to_source(np.empty((0, 4), np.float32)).shape == (0, 4)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("scale", [1.0, 1 / 255])
def test_mean_and_standard_deviation_are_per_channel(color: Literal["rgb", "bgr"], scale: float) -> None:
    mean, std = (0.485 * scale * 255, 0.456 * scale * 255, 0.406 * scale * 255), (0.229, 0.224, 0.225)
    spec = InputSpec(color=color, scale=scale, mean=mean, std=std, pad=20)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    tensor, placement = Letterbox(width=64, height=64, spec=spec)(ArrayImage(pixels))
    channels = pixels if color == "bgr" else pixels[..., ::-1]
    wanted = np.full((64, 64, 3), 20.0)
    wanted[placement.pad_y : placement.pad_y + 32] = channels
    wanted = (wanted * scale - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(tensor[0], wanted.transpose(2, 0, 1), rtol=1e-4, atol=1e-3)


def test_bytes_may_be_rgb() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    spec = InputSpec(color="rgb", scale=1 / 255)
    box = Letterbox(width=64, height=64, spec=spec, pixels=True, rgb_bytes=True)
    for _ in range(2):
        np.testing.assert_array_equal(box(ArrayImage(pixels))[0][0], pixels[..., ::-1])
