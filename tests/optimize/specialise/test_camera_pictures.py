"""Pictures of one camera in the order of time; what is unfit is refused in one line."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.core.errors import UsageError
from detector.core.progress import quiet
from detector.core.types import Pixels
from detector.optimize.specialise.camera_pictures import (
    FEWEST,
    LONG_SIDE,
    MOST,
    TimedPicture,
    camera_pictures,
    one_hour,
)

VIEW = np.random.default_rng(1).integers(60, 200, (9, 12, 3), np.uint8)


def view(number: int, *, pattern: Pixels = VIEW, size: tuple[int, int] = (240, 180), light: float = 1.0) -> Pixels:
    """A scene of large patches, and something that moves through it."""
    pixels = cv2.resize(pattern, size, interpolation=cv2.INTER_NEAREST).astype(np.float32) * light
    pixels[60:120, (3 * number) % 200 : (3 * number) % 200 + 20] = 255 * light
    return np.asarray(pixels, np.uint8)


def write(folder: Path, count: int = FEWEST, *, first: int = 0, **looks: object) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(first, first + count):
        cv2.imwrite(str(folder / f"{number:04d}.png"), view(number, **looks))  # type: ignore[arg-type]
        os.utime(folder / f"{number:04d}.png", (1e9 + 600.0 * number,) * 2)
    return folder


def read(*paths: Path, camera: str = "yard") -> list[TimedPicture]:
    return camera_pictures(paths, camera=camera, report=quiet)


def test_files_come_in_the_order_of_their_times(tmp_path: Path) -> None:
    folder = write(tmp_path / "set")
    os.utime(folder / "0007.png", (9e8, 9e8))
    found = read(folder)
    assert [one.name for one in found[:3]] == ["0007.png", "0000.png", "0001.png"]
    assert not one_hour(found)


def test_a_manifest_tells_the_times_and_the_camera(tmp_path: Path) -> None:
    folder = write(tmp_path / "set")
    entries = [
        {"file": f"{n:04d}.png", "captured_at": datetime.fromtimestamp(2e9 - n, timezone.utc).isoformat()}
        for n in range(FEWEST)
    ]
    (folder / "manifest.json").write_text(json.dumps({"version": 1, "camera": "yard", "pictures": entries}))
    found = read(folder)
    assert found[0].name == f"{FEWEST - 1:04d}.png"
    assert found[-1].at_s == 2e9
    assert one_hour(found)
    with pytest.raises(UsageError, match="holds pictures of camera yard, not of porch"):
        read(folder, camera="porch")


def test_files_copied_at_once_keep_their_order(tmp_path: Path) -> None:
    folder = write(tmp_path / "set")
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    found = read(folder)
    assert [one.at_s for one in found[:3]] == [1e9, 1e9 + 1, 1e9 + 2]


def test_too_few_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="99 pictures are too few to teach and judge with: at least 100 are needed"):
        read(write(tmp_path / "set", FEWEST - 1))


def test_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "set")
    write(tmp_path / "set", 1, first=500, size=(320, 180))
    with pytest.raises(UsageError, match=r"not all of camera yard: 0500.png is 320x180, most are 240x180"):
        read(tmp_path / "set")


def test_pictures_of_another_view_are_refused_but_not_a_glance(tmp_path: Path) -> None:
    other = np.random.default_rng(2).integers(60, 200, (7, 11, 3), np.uint8)
    write(tmp_path / "set")
    write(tmp_path / "set", 10, first=500, pattern=other)
    assert len(read(tmp_path / "set")) == FEWEST + 10
    write(tmp_path / "set", 30, first=600, pattern=other)
    with pytest.raises(UsageError, match=r"40 of 140 pictures show another view than the others, 0500.png first"):
        read(tmp_path / "set")


def test_night_is_the_same_view(tmp_path: Path) -> None:
    write(tmp_path / "set", FEWEST // 2)
    write(tmp_path / "set", FEWEST // 2, first=50, light=0.25)
    found = read(tmp_path / "set")
    assert [one.dark for one in found] == [False] * 50 + [True] * 50


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        read(tmp_path / "nothing")


@pytest.mark.slow
def test_a_clip_is_read_evenly(shared: Path) -> None:
    found = read(shared / "media" / "video" / "vtest.avi")
    assert len(found) == MOST
    assert max(found[0].image.width, found[0].image.height) == LONG_SIDE
    gaps = np.diff([one.at_s for one in found])
    assert 0.099 < gaps.min() <= gaps.max() <= 0.4
    assert one_hour(found)
