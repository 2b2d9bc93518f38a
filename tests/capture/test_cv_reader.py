from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detector.capture.cv_reader import CvSource, _as_bgr, _image, fourcc
from detector.core.errors import EndOfStreamError, SourceError
from detector.core.types import PlanarImage
from support.clips import clip
from support.stamped import read_ms


def of_file(path: Path) -> CvSource:
    """OpenCV's own decoder stands for a camera: same object, same calls, real frames."""
    return CvSource(
        target=str(path),
        backend="CAP_FFMPEG",
        shown="the camera",
        hint="plug it in",
        at_open={"CAP_PROP_OPEN_TIMEOUT_MSEC": 5000},
        wishes={"CAP_PROP_BUFFERSIZE": 1},
    )


def test_frames_come_as_bgr_and_the_last_is_an_error(tmp_path: Path) -> None:
    source = of_file(clip(tmp_path / "a.mp4", frames=5))
    source.open()
    grabs = [source.read() for _ in range(5)]
    assert [read_ms(grab.image.luma()) for grab in grabs] == [0, 1, 2, 3, 4]
    assert grabs[0].image.bgr().shape == (240, 320, 3)
    assert grabs[0].media_s is None
    with pytest.raises(SourceError, match="the camera: gives no more pictures; plug it in") as caught:
        source.read()
    assert not isinstance(caught.value, EndOfStreamError)
    source.close()
    source.close()


def test_what_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the camera: cannot be opened; plug it in"):
        of_file(tmp_path / "nothing.mp4").open()


def test_not_open(tmp_path: Path) -> None:
    source = of_file(tmp_path / "nothing.mp4")
    with pytest.raises(SourceError, match="not open"):
        source.read()
    assert repr(source) == "CvSource(the camera)"


def test_reopening_leaks_nothing(tmp_path: Path, leaks: Callable[[], tuple[int, int]]) -> None:
    source = of_file(clip(tmp_path / "a.mp4", frames=3))

    def once() -> None:
        source.open()
        source.read()
        source.close()

    once()
    before = leaks()
    for _ in range(20):
        once()
    source.open()
    source.open()  # without a close in between
    source.close()
    assert leaks() <= before


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3)])
def test_grey_sensors_give_three_channels(shape: tuple[int, ...]) -> None:
    assert _as_bgr(np.full(shape, 7, np.uint8)).shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("shape", "raw", "found"),
    [((4, 6, 2), None, "yuyv"), ((6, 6), "nv12", "nv12"), ((6, 6, 1), "i420", "i420"), ((6, 6), None, None)],
)
def test_raw_pictures_keep_their_planes(shape: tuple[int, ...], raw: Any, found: str | None) -> None:
    image = _image(np.full(shape, 128, np.uint8), raw)
    planes = image.planes() if isinstance(image, PlanarImage) else None
    assert (None if planes is None else planes.format) == found
    size = (4, 6) if found else (6, 6)
    assert (image.height, image.width) == image.luma().shape == size
    assert image.bgr().shape == (*size, 3)
    assert np.abs(image.bgr().astype(int) - 128).max() <= 4


class _Capture:
    """What V4L2 is asked of a camera that has YUYV alone, whatever it is asked for."""

    def __init__(self, *_: object) -> None:
        self.converted = True

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def get(self, which: int) -> float:
        return float(fourcc("YUYV")) if which == cv2.CAP_PROP_FOURCC else 0.0

    def set(self, which: int, value: float) -> bool:
        if which == cv2.CAP_PROP_CONVERT_RGB:
            self.converted = bool(value)
        return True

    def read(self) -> tuple[bool, np.ndarray]:
        return True, np.full((48, 64, 3 if self.converted else 2), 90, np.uint8)

    def release(self) -> None:
        pass


@pytest.mark.parametrize("leave", [True, False])
def test_a_camera_without_mjpg_is_not_converted(monkeypatch: pytest.MonkeyPatch, leave: bool) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", _Capture)
    source = CvSource(
        target="/dev/video0",
        backend="CAP_V4L2",
        shown="it",
        hint="",
        wishes={"CAP_PROP_FOURCC": fourcc("MJPG")},
        leave_yuyv=leave,
    )
    source.open()
    assert isinstance(source.read().image, PlanarImage) == leave
