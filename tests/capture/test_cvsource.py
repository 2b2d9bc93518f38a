from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detector.capture.cvsource import CvSource, _as_bgr
from detector.errors import EndOfStreamError, SourceError
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
