"""Pictures to calibrate with: from a folder, a video, a live camera; poor ones are refused with their count."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.core.errors import ModelError, SourceError, UsageError
from detector.optimize.quantize.calibration import calibration_pictures
from support.clips import clip
from support.mjpeg_server import MjpegServer
from support.networks import noise_pictures


def folder_of(path: Path, count: int) -> Path:
    path.mkdir()
    for number, picture in enumerate(noise_pictures(count)):
        cv2.imwrite(str(path / f"{number:02}.png"), picture.bgr())
    return path


def test_a_folder_gives_its_pictures_evenly(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", 40)
    (folder / "notes.txt").write_text("no picture")
    seen: list[tuple[int, int | None]] = []
    found = calibration_pictures(str(folder), count=20, progress=lambda done, total, _what: seen.append((done, total)))
    expected = noise_pictures(40)[::2]
    assert [np.array_equal(a.bgr(), b.bgr()) for a, b in zip(found, expected, strict=True)] == [True] * 20
    assert seen[-1] == (20, 20)


def test_unreadable_pictures_are_counted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", 20)
    (folder / "03.png").write_bytes(b"not a picture")
    (folder / "07.png").write_bytes(b"")
    with pytest.raises(ModelError, match=r"2 of 20 calibration pictures cannot be read, .*03\.png first"):
        calibration_pictures(str(folder))


def test_identical_and_too_few_pictures_are_counted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", 15)
    with pytest.raises(ModelError, match=r"15 calibration pictures from .*, 15 of them different: at least 16"):
        calibration_pictures(str(folder))
    for number in range(15, 30):
        (folder / f"{number}.png").write_bytes((folder / "00.png").read_bytes())
    with pytest.raises(ModelError, match=r"30 calibration pictures from .*, 15 of them different: at least 16"):
        calibration_pictures(str(folder))


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no pictures \(\.jpg, .*\) in "):
        calibration_pictures(str(tmp_path))


def test_a_video_is_spread_over_its_whole_length(tmp_path: Path) -> None:
    found = calibration_pictures(str(clip(tmp_path / "c.mp4", frames=90)), count=20)
    assert len(found) == 20
    everything = calibration_pictures(str(clip(tmp_path / "d.mp4", frames=30)), count=40)
    assert len(everything) == 30, "a short one is taken whole"


def test_a_video_that_stands_still_is_refused(tmp_path: Path) -> None:
    still = clip(tmp_path / "c.mkv", frames=40, grey=90, codec="ffv1", pixel_format="yuv420p")
    with pytest.raises(ModelError, match=r"40 calibration pictures from .*, 1 of them different"):
        calibration_pictures(str(still))


def test_a_live_camera_is_watched_until_it_has_shown_enough() -> None:
    with MjpegServer(user="cam", password="pw") as server:
        found = calibration_pictures(server.url, count=16, gap_s=0.05)
    assert len({picture.bgr().tobytes() for picture in found}) == len(found) == 16


def test_a_camera_that_is_not_there_is_told_without_its_password() -> None:
    with pytest.raises(SourceError) as refused:
        calibration_pictures("http://cam:hunter22@127.0.0.1:9/video")
    assert "hunter22" not in str(refused.value)


@pytest.mark.parametrize("text", ["nowhere", "missing.mp4", "ftp://cam:hunter22@host/x"])
def test_what_is_no_source_is_a_wrong_argument(text: str) -> None:
    with pytest.raises(UsageError, match="--calibration") as refused:
        calibration_pictures(text)
    assert "hunter22" not in str(refused.value)
