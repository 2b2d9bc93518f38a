from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.core.errors import ModelError
from detector.models.accuracy.pictures import clip_pictures, folder_pictures
from support import sample


def test_a_folders_pictures_are_chosen_evenly(tmp_path: Path) -> None:
    for index in range(10):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((8, 16, 3), index, np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    assert [int(image.bgr()[0, 0, 0]) for image in folder_pictures(tmp_path, count=4)] == [0, 3, 6, 9]
    assert len(list(folder_pictures(tmp_path))) == 10


def test_what_is_no_folder_of_pictures_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no folder"):
        list(folder_pictures(tmp_path / "none"))
    with pytest.raises(ModelError, match="no pictures"):
        list(folder_pictures(tmp_path))
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(ModelError, match=r"bad\.jpg is not a readable picture"):
        list(folder_pictures(tmp_path))


def test_frames_of_a_clip() -> None:
    assert len(list(clip_pictures(sample.clip(), count=3, every=2))) == 3
