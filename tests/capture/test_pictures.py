from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.capture.pictures import clip_frames, clip_pictures, fingerprint, folder_pictures, read_picture
from detector.core.errors import SourceError
from support import sample
from support.clips import clip
from support.networks import noise_pictures


def test_a_folders_pictures_are_chosen_evenly(tmp_path: Path) -> None:
    for index in range(10):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((8, 16, 3), index, np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    assert [int(image.bgr()[0, 0, 0]) for image in folder_pictures(tmp_path, count=4)] == [0, 3, 6, 9]
    assert len(list(folder_pictures(tmp_path))) == 10


def test_what_is_no_folder_of_pictures_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no folder"):
        list(folder_pictures(tmp_path / "none"))
    with pytest.raises(SourceError, match="no pictures"):
        list(folder_pictures(tmp_path))
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(SourceError, match=r"bad\.jpg is not a picture that can be read"):
        list(folder_pictures(tmp_path))


def test_frames_of_a_clip() -> None:
    assert len(list(clip_pictures(sample.clip(), count=3, every=2))) == 3


def test_a_clip_ends_or_starts_again(tmp_path: Path) -> None:
    made = clip(tmp_path / "c.mp4", frames=10)
    assert len(list(clip_frames(made))) == 10
    assert len(list(itertools.islice(clip_frames(made, loop=True), 25))) == 25


def test_an_empty_file_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(SourceError, match=r"empty\.png is not a picture that can be read"):
        read_picture(tmp_path / "empty.png")


def test_the_fingerprint_changes_with_any_pixel() -> None:
    first, second = noise_pictures(3), noise_pictures(3)
    assert fingerprint(first) == fingerprint(second)
    second[1].bgr()[5, 5, 1] ^= 1
    assert fingerprint(first) != fingerprint(second)
    assert fingerprint(first) != fingerprint(first[::-1])
