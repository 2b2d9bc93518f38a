"""JPEG pictures out of streams of bytes, cut anywhere and damaged anyhow."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.capture.mjpeg.splitter import MAX_PICTURE, JpegSplitter
from support.http_camera import numbered_jpeg

PICTURES = [numbered_jpeg(i, width=96, height=64, thumbnail=i % 2 == 1) for i in range(8)]


def split(data: bytes, size: int) -> list[bytes]:
    splitter = JpegSplitter()
    return [picture for at in range(0, len(data), size) for picture in splitter.feed(data[at : at + size])]


@pytest.mark.parametrize("size", [1, 2, 7, 1000, 1 << 20])
def test_pictures_are_whole_wherever_the_stream_is_cut(size: int) -> None:
    data = b"".join(b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n" + picture for picture in PICTURES)
    assert split(data, size) == PICTURES


def test_progressive_pictures_of_several_scans() -> None:
    import cv2
    import numpy as np

    noise = np.random.default_rng(1).integers(0, 255, (64, 96, 3), np.uint8)
    made = bytes(cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2])[1])
    assert made.count(b"\xff\xda") > 1
    assert split(made * 3, 50) == [made] * 3


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_picture_costs_itself_alone(seed: int) -> None:
    rng = random.Random(seed)
    cut = rng.randrange(3, len(PICTURES[0]) - 2)
    gap = b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n"
    data = gap.join([PICTURES[2], PICTURES[0][:cut], PICTURES[4], PICTURES[6]])
    got = split(data, rng.randrange(1, 3000))
    assert got[0] == PICTURES[2]
    assert got[-1] == PICTURES[6]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60), st.sampled_from([*PICTURES, b"\xff\xd8\xff", b"\xff\xd9", b"\xff\xda\x00\x02"])
        ),
        max_size=12,
    ),
    st.integers(1, 999),
)
def test_any_bytes_give_pictures_or_none(pieces: list[bytes], size: int) -> None:
    for picture in split(b"".join(pieces), size):
        assert picture.startswith(b"\xff\xd8\xff")
        assert picture.endswith(b"\xff\xd9")


def test_a_picture_that_never_ends_is_given_up() -> None:
    splitter = JpegSplitter()
    splitter.feed(b"\xff\xd8\xff\xda\x00\x02")
    for _ in range(MAX_PICTURE // (1 << 20) + 2):
        assert splitter.feed(bytes(1 << 20)) == []
    assert splitter.damaged == 1
    assert splitter.feed(PICTURES[0]) == [PICTURES[0]]
