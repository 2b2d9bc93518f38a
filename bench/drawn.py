"""The bench's clip: a person who appears in another place every second, each picture with its number in it.

Drawn from two pictures of the one-by-one clip (a person, and the same room empty), scaled up, with a camera's
noise, and coded as cameras code: H.264, no B-frames, a key frame every two seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # the bars are the tests' own

from detector.capture.factory import file_source  # after the path is set
from detector.core.types import Pixels
from support.stamped import bars, read_ms

STRIP = 24  # px at the picture's lower edge, which hold its number
PLACES = 7
NOISE = 2.0  # standard deviation, of 255
_EMPTY, _PERSON = 0, 120  # frames of the one-by-one clip
_CROP = (366, 4, 534, 404)  # x1, y1, x2, y2 px around that person
_HEIGHTS = (0.85, 0.36)
"""Persons' heights in turn, of the picture's: who stands elsewhere at more than twice the size, or came back far from
where this size was last seen, is somebody else; so each stay is a visit of its own, with an alert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """`units`: one Annex B access unit a picture, in order; the first is a key frame."""

    units: tuple[bytes, ...]
    fps: int
    size: tuple[int, int]


def draw(clip: Path, *, fps: int, stays: int = 2 * PLACES, stay_s: float = 0.7, size: tuple[int, int]) -> Coded:
    """`stays` stays of `stay_s` in turn at each place, one after the other. `clip` is the one-by-one clip."""
    empty, person = _read(clip, _EMPTY), _read(clip, _PERSON)
    background = cv2.resize(empty, size, interpolation=cv2.INTER_CUBIC)
    x1, y1, x2, y2 = _CROP
    cuts = [_scaled(person[y1:y2, x1:x2], round(height * size[1])) for height in _HEIGHTS]
    pictures = _pictures(np.asarray(background, np.uint8), cuts, stays, round(stay_s * fps))
    return Coded(units=tuple(code(pictures, fps, size)), fps=fps, size=size)


def still(clip: Path, *, fps: int, size: tuple[int, int], frames: int = 40) -> Coded:
    """The same room with nobody in it, and a camera's noise."""
    background = np.asarray(cv2.resize(_read(clip, _EMPTY), size, interpolation=cv2.INTER_CUBIC), np.uint8)
    noises = _noises(background.shape)
    noisy = (_add(background, noises[number % len(noises)]) for number in range(frames))
    return Coded(units=tuple(code(noisy, fps, size)), fps=fps, size=size)


def numbered(picture: Pixels, number: int) -> Pixels:
    """`picture`, BGR [H,W,3], with `number` in the strip at its lower edge."""
    width = picture.shape[1]
    strip = np.frombuffer(bars(width, STRIP, number), np.uint8).reshape(STRIP, width)
    picture[-STRIP:] = strip[:, :, None]
    return picture


def read_number(picture: Pixels) -> int:
    """The number in `picture`, grey [H,W] or BGR [H,W,3] of the clip's own size or down to half of it."""
    grey = picture if picture.ndim == 2 else picture[:, :, 1]
    return read_ms(grey[-STRIP // 2 :])


def _read(clip: Path, number: int) -> Pixels:
    source = file_source(clip)
    source.open()
    try:
        for _ in range(number):
            source.read()
        return source.read().image.bgr()
    finally:
        source.close()


def _scaled(picture: Pixels, height: int) -> Pixels:
    size = (round(picture.shape[1] * height / picture.shape[0]), height)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _pictures(background: Pixels, cuts: Sequence[Pixels], stays: int, frames: int) -> Iterator[Pixels]:
    height, width = background.shape[:2]
    noises = _noises(background.shape)
    for number in range(stays * frames):
        stay = number // frames
        cut, place = cuts[stay % len(cuts)], stay * 5 % PLACES
        top = height - STRIP - cut.shape[0] - 8
        left = round(place * (width - cut.shape[1] - 40) / (PLACES - 1)) + 20 * (number % frames) // frames
        picture = background.copy()
        picture[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
        yield numbered(_add(picture, noises[number % len(noises)]), number)


def _noises(shape: tuple[int, ...]) -> list[NDArray[np.int16]]:
    """A few, used in turn: making fresh ones takes longer than coding them."""
    random = np.random.default_rng(0)
    return [random.normal(0.0, NOISE, shape).astype(np.int16) for _ in range(5)]


def _add(picture: Pixels, noise: NDArray[np.int16]) -> Pixels:
    return np.asarray(cv2.add(picture, noise, dtype=cv2.CV_8U), np.uint8)  # saturates


def code(pictures: Iterable[Pixels], fps: int, size: tuple[int, int]) -> Iterator[bytes]:
    """H.264 access units, Annex B, one a picture (BGR [H,W,3]), parameter sets before each key frame."""
    codec = av.CodecContext.create("libx264", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt, codec.framerate = *size, "yuv420p", Fraction(fps)
    codec.options = {"preset": "veryfast", "tune": "zerolatency", "crf": "23", "g": str(2 * fps), "sc_threshold": "0"}
    for picture in pictures:
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        yield from (bytes(packet) for packet in codec.encode(frame))
    yield from (bytes(packet) for packet in codec.encode(None))
