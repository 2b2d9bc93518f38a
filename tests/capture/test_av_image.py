from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from detector.capture.file import FileSource
from detector.core.types import Image, Pixels, PlanarImage
from detector.inference.kernels.launch import plane_sizes
from support.clips import clip, turned


def first(path: Path) -> Image:
    source = FileSource(path=path)
    source.open()
    image = source.read().image
    source.close()
    return image


@pytest.mark.parametrize("grey", [16, 128, 235])
@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "full_range"),
    [
        ("limited.mp4", "libx264", "yuv420p", False),
        ("full.mp4", "libx264", "yuvj420p", True),
        ("full-by-tag.mkv", "ffv1", "yuv420p", True),
        ("444.mkv", "ffv1", "yuv444p", False),
        ("grey.mkv", "ffv1", "gray", False),
        ("ten-bit.mkv", "ffv1", "yuv420p10le", False),
    ],
)
def test_brightness_survives_each_format_and_range(
    tmp_path: Path, grey: int, name: str, codec: str, pixel_format: str, full_range: bool
) -> None:
    path = clip(
        tmp_path / name, frames=1, codec=codec, pixel_format=pixel_format, full_range=full_range, grey=grey, height=240
    )
    assert np.abs(first(path).bgr().astype(int) - grey).max() <= 3  # dither of the ten-bit one


def test_threads_that_want_the_same_picture_at_once_get_the_same_one(tmp_path: Path) -> None:
    path = clip(tmp_path / "wanted.mp4", frames=12, width=1280, height=720)
    source = FileSource(path=path)
    source.open()
    with ThreadPoolExecutor(3) as pool:
        for _ in range(12):
            image, together = source.read().image, threading.Barrier(3, timeout=10)

            def wanted(image: Image = image, together: threading.Barrier = together) -> Pixels:
                together.wait()
                return image.bgr()

            # PyAV converts in one scaler for a frame: two threads in it would end this process.
            first_, *others = (done.result(10) for done in [pool.submit(wanted) for _ in range(3)])
            assert all(other is first_ for other in others)
    source.close()


def test_colours_are_blue_green_red(tmp_path: Path) -> None:
    path = tmp_path / "red.jpg"
    cv2.imwrite(str(path), np.full((64, 64, 3), (0, 0, 255), np.uint8))
    blue, green, red = first(path).bgr()[32, 32]
    assert red > 250
    assert max(blue, green) < 5


@pytest.mark.parametrize("size", [(321, 241), (64, 48), (1000, 30), (17, 400)])
def test_odd_sizes_and_padded_lines(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    image = first(clip(tmp_path / "odd.mkv", codec="ffv1", width=width, height=height, frames=1))
    assert (image.width, image.height) == size
    assert image.bgr().shape == (height, width, 3)
    assert image.bgr().flags.c_contiguous
    assert image.luma().shape == (height, width)
    # Luma of the limited range, 16..235, is that of the picture, 0..255.
    expected = 16 + image.bgr()[:, :, 1].astype(float) * 219 / 255
    assert np.abs(image.luma() - expected).max() <= 2


def test_luma_is_a_view_and_both_are_made_once(tmp_path: Path) -> None:
    image = first(clip(tmp_path / "a.mp4", frames=1, width=322, height=242))
    assert image.luma() is image.luma()
    assert image.luma().strides[0] > 322  # the decoder's own padded lines
    assert not image.luma().flags.owndata
    assert image.bgr() is image.bgr()


def test_a_frame_outlives_its_source_and_cannot_be_written_to(tmp_path: Path) -> None:
    image = first(clip(tmp_path / "a.mp4", frames=30, grey=77))
    luma = image.luma().copy()
    for number in range(3):
        first(clip(tmp_path / f"{number}.mp4", frames=30, grey=200))  # would take over freed buffers
    assert np.array_equal(image.luma(), luma)
    for pixels in (image.luma(), image.bgr()):
        with pytest.raises(ValueError, match="read-only"):
            pixels[0, 0] = 1


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_clip_that_is_to_be_turned_comes_upright(tmp_path: Path, degrees: int) -> None:
    if not hasattr(av.VideoFrame, "rotation"):
        pytest.skip("this PyAV does not tell how a frame is turned")
    path = turned(clip(tmp_path / "phone.mp4", frames=4), degrees)
    image = first(path)
    reader = cv2.VideoCapture(str(path))
    _, expected = reader.read()
    reader.release()
    assert (image.width, image.height) == ((240, 320) if degrees in (90, 270) else (320, 240))
    assert image.luma().shape == (image.height, image.width)
    assert np.abs(image.bgr().astype(int) - expected).mean() < 1.0


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "full_range"),
    [
        ("a.mp4", "libx264", "yuv420p", False),
        ("b.mp4", "libx264", "yuvj420p", True),
        ("c.mkv", "ffv1", "yuv420p", True),
    ],
)
def test_a_decoders_planes_are_shown_as_they_are(
    tmp_path: Path, name: str, codec: str, pixel_format: str, full_range: bool
) -> None:
    path = clip(tmp_path / name, frames=1, codec=codec, pixel_format=pixel_format, full_range=full_range, grey=150)
    image = first(path)
    assert isinstance(image, PlanarImage)
    planes = image.planes()
    assert planes is not None
    assert (planes.format, planes.full_range, planes.matrix) == ("i420", full_range, "bt601")
    assert [plane.shape for plane in planes.planes] == plane_sizes("i420", image.width, image.height)
    np.testing.assert_array_equal(planes.planes[0], image.luma())
    expected = 150 if full_range else round(16 + 150 * 219 / 255)
    assert abs(int(planes.planes[0][5, 5]) - expected) <= 2


def test_odd_planes_are_rounded_up(tmp_path: Path) -> None:
    image = first(clip(tmp_path / "odd.mkv", codec="ffv1", width=321, height=241, frames=1))
    assert isinstance(image, PlanarImage)
    planes = image.planes()
    assert planes is not None
    assert [plane.shape for plane in planes.planes] == plane_sizes("i420", 321, 241) == [(241, 321), *[(121, 161)] * 2]


def test_turned_pictures_and_other_formats_show_no_planes(tmp_path: Path) -> None:
    for image in (
        first(turned(clip(tmp_path / "a.mp4", frames=1), 90)),
        first(clip(tmp_path / "444.mkv", codec="ffv1", pixel_format="yuv444p", frames=1)),
    ):
        assert isinstance(image, PlanarImage)
        assert image.planes() is None
