"""Sizes out of real encoders' headers, and of headers that are cut or changed."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import pytest
from av.codec.context import CodecContext, Flags

from detector.capture.picture_size import h264_size, h265_size, jpeg_size
from support.rtsp_video import _units

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

SIZES = [(320, 240), (640, 360), (1920, 1080), (854, 480), (64, 36), (2560, 1440), (132, 100)]


def extradata(codec: str, size: tuple[int, int], *, pixel_format: str = "yuv420p", **options: str) -> list[bytes]:
    context = cast("VideoCodecContext", CodecContext.create(codec, "w"))
    context.width, context.height = size
    context.pix_fmt = pixel_format
    context.time_base, context.framerate, context.thread_count = Fraction(1, 25), Fraction(25), 1
    context.flags |= Flags.global_header
    context.options = {"preset": "ultrafast", **options}
    context.open()
    return _units(bytes(context.extradata or b""))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", [{}, {"profile": "baseline"}, {"x264-params": "interlaced=1"}])
def test_of_h264(size: tuple[int, int], options: dict[str, str]) -> None:
    sps = next(unit for unit in extradata("libx264", size, **options) if unit[0] & 0x1F == 7)
    assert h264_size(sps) == size


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p", "yuv420p10le", "gray"])
def test_of_h264_with_other_chroma(pixel_format: str) -> None:
    sps = next(unit for unit in extradata("libx264", (642, 362), pixel_format=pixel_format) if unit[0] & 0x1F == 7)
    assert h264_size(sps) == (642, 362)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv420p10le"])
def test_of_h265(size: tuple[int, int], pixel_format: str) -> None:
    quiet = {"x265-params": "log-level=none:pools=1:info=0:temporal-layers=3"}
    units = extradata("libx265", size, pixel_format=pixel_format, **quiet)
    assert h265_size(next(unit for unit in units if unit[0] >> 1 & 0x3F == 33)) == size


def test_of_jpeg() -> None:
    context = CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 322, 242, "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame(322, 242, "yuvj420p")
    frame.pts = 0
    (packet,) = [*context.encode(frame), *context.encode(None)]
    assert jpeg_size(bytes(packet)) == (322, 242)


def test_broken_headers_are_an_error_and_never_hang() -> None:
    random_bytes = random.Random(7)
    h264 = next(unit for unit in extradata("libx264", (640, 360)) if unit[0] & 0x1F == 7)
    for size_of in (h264_size, h265_size, jpeg_size):
        for count in range(300):
            data = bytearray(h264[: random_bytes.randrange(len(h264))] if count % 2 else random_bytes.randbytes(40))
            if data and count % 3 == 0:
                data[random_bytes.randrange(len(data))] ^= 0xFF
            try:
                width, height = size_of(bytes(data))
            except ValueError:
                continue
            assert 0 < width <= 16_384
            assert 0 < height <= 16_384
