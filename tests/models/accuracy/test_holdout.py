"""No picture both calibrates and judges: not by another name, in another folder, scaled, or saved again (O9)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.capture.pictures import clip_pictures, picture_files, read_picture
from detector.core.errors import UsageError
from detector.core.types import ArrayImage, Image, Pixels
from detector.models.accuracy.holdout import chooser, keep_apart, roles
from detector.models.accuracy.likeness import Likenesses, distinct, likeness
from support.networks import noise_pictures


def written(folder: Path, count: int, *, seed: int = 5) -> list[Path]:
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        coarse = random.integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:02}.png"), cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_CUBIC))
    return picture_files(folder)


def read(paths: list[Path]) -> list[Image]:
    return [read_picture(path) for path in paths]


def hashes(pictures: tuple[Image, ...] | list[Image]) -> set[str]:
    return {likeness(picture).sha256 for picture in pictures}


def test_other_pictures_are_left_as_they_are(tmp_path: Path) -> None:
    judging, calibration = written(tmp_path / "a", 10), read(written(tmp_path / "b", 20, seed=6))
    found = keep_apart(calibration, judging)
    assert (list(found.calibration), found.held, found.note) == (calibration, frozenset(), None)


def test_o9_the_same_folder_is_divided_by_content(tmp_path: Path) -> None:
    paths = written(tmp_path / "a", 40)
    found = keep_apart(read(paths), paths)
    assert (len(found.calibration), len(found.held)) == (16, 16)
    assert found.note == (
        "40 pictures were in both --calibration and --images: by their content 16 pictures calibrate and 24 others judge"
    )
    judges = [path for number, path in enumerate(paths) if number not in found.held]
    assert not hashes(found.calibration) & hashes(read(judges))
    # Under other names, in another order, the same pictures have the same roles.
    other = tmp_path / "other"
    other.mkdir()
    for number, path in enumerate(reversed(paths)):
        shutil.copy(path, other / f"{number:02}.png")
    again = keep_apart(read(picture_files(other)), paths)
    assert hashes(again.calibration) == hashes(found.calibration)
    assert again.held == found.held


def test_a_link_to_the_folder_and_a_subset_of_it(tmp_path: Path) -> None:
    paths = written(tmp_path / "a", 40)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert keep_apart(read(picture_files(tmp_path / "link")), paths).held
    part = keep_apart(read(paths[:20]), paths)
    assert (len(part.calibration), len(part.held)) == (16, 16)


def test_enough_others_calibrate_and_what_is_in_both_judges(tmp_path: Path) -> None:
    judging = written(tmp_path / "a", 10)
    others = written(tmp_path / "b", 20, seed=6)
    found = keep_apart(read([*others, *judging[:3]]), judging)
    assert (len(found.calibration), found.held) == (20, frozenset())
    assert found.note is not None
    assert "3 pictures were in both" in found.note
    assert "20 pictures calibrate and 10 others judge" in found.note


@pytest.mark.parametrize("count", [1, 16, 23])
def test_o9_too_few_for_two_roles_are_refused_with_what_to_do(tmp_path: Path, count: int) -> None:
    paths = written(tmp_path / "a", count)
    with pytest.raises(UsageError, match=rf"have {count} pictures in common.*at least 16 and 8.*other pictures"):
        keep_apart(read(paths), paths)


def jpeg(quality: int) -> Callable[[Pixels], Pixels]:
    def save(pixels: Pixels) -> Pixels:
        _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)

    return save


DISGUISES: dict[str, Callable[[Pixels], Pixels]] = {
    "saved as JPEG": jpeg(80),
    "saved as a poor JPEG": jpeg(50),
    "halved": lambda pixels: np.asarray(cv2.resize(pixels, None, fx=0.5, fy=0.5), np.uint8),
    "for the model": lambda pixels: np.asarray(cv2.resize(pixels, (416, 312)), np.uint8),
    "turned": lambda pixels: np.ascontiguousarray(np.rot90(pixels)),
    "mirrored": lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
}


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES.keys())
def test_o9_photos_are_recognised_in_disguise(shared: Path, disguise: Callable[[Pixels], Pixels]) -> None:
    pictures = read(picture_files(shared / "media/coco/images"))
    known = Likenesses([likeness(picture) for picture in pictures])
    for number, picture in enumerate(pictures):
        changed = ArrayImage(disguise(np.asarray(picture.bgr(), np.uint8)))
        assert known.find(likeness(changed)) == {number}


def test_a_camera_s_pictures_of_other_moments_are_other_pictures(shared: Path) -> None:
    frames = list(clip_pictures(shared / "media/video/vtest.avi", count=40, every=5))
    assert len(distinct([likeness(frame) for frame in frames])) == 40


def test_three_roles_two_and_none() -> None:
    pictures = noise_pictures(48)
    found = roles(pictures)
    assert [len(each) for each in (found.calibrate, found.choose, found.judge)] == [22, 10, 16]
    by_role = [hashes(each) for each in (found.calibrate, found.choose, found.judge)]
    assert not by_role[0] & by_role[1] | by_role[0] & by_role[2] | by_role[1] & by_role[2]
    again = roles(pictures[::-1])
    assert [hashes(each) for each in (again.calibrate, again.choose, again.judge)] == by_role
    few = roles(pictures[:24])
    assert (len(few.judge), few.choose) == (8, few.calibrate)
    with pytest.raises(UsageError, match="23 different pictures are too few for --calibration: 16 calibrate and 8"):
        roles([*pictures[:23], *pictures[:23]])


def test_who_chooses_does_not_calibrate_where_there_are_enough() -> None:
    pictures = noise_pictures(30)
    used, choose = chooser(pictures)
    assert (len(used), len(choose)) == (20, 10)
    assert not hashes(used) & hashes(choose)
    used, choose = chooser(pictures[:20])
    assert used == choose
