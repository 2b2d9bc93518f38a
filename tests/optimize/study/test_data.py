"""The pictures of a study, refused before anything is run where they will not do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from detector.capture.pictures import read_picture
from detector.core.errors import DetectorError, ModelError, SourceError, UsageError
from detector.models.accuracy.likeness import likeness
from detector.optimize.study.data import calibration, divide, evaluation_sets
from support.studies import annotated, pictures


def test_sets_are_told_apart_by_what_is_in_them(tmp_path: Path) -> None:
    images, annotations = annotated(tmp_path, count=20)
    (found,) = evaluation_sets([images], [annotations])
    assert (found.name, len(found.files), len(found.timed())) == ("truth", 20, 8)
    (same,) = evaluation_sets([images], [annotations])
    assert same.digest == found.digest
    (images / "03.png").write_bytes((images / "03.png").read_bytes() + b"more")
    (other,) = evaluation_sets([images], [annotations])
    assert other.digest != found.digest


def test_annotations_that_miss_pictures(tmp_path: Path) -> None:
    images, annotations = annotated(tmp_path)
    (images / "01.png").unlink()
    with pytest.raises(DetectorError, match=r"1 of 10 annotated pictures are not in .*, 01\.png first"):
        evaluation_sets([images], [annotations])


def test_each_folder_needs_its_annotations(tmp_path: Path) -> None:
    images, annotations = annotated(tmp_path)
    with pytest.raises(UsageError, match="1 --images and 0 --annotations"):
        evaluation_sets([images], [])
    with pytest.raises(UsageError, match="two sets of annotations are called truth"):
        evaluation_sets([images, images], [annotations, annotations])


def test_other_pictures_are_left_as_they_are(tmp_path: Path) -> None:
    sets = evaluation_sets(*([each] for each in annotated(tmp_path)))
    given = calibration(pictures(tmp_path / "calibration", 16))
    found, left = divide(given, sets)
    assert (found.names, found.digest, found.note, left) == (given.names, given.digest, None, sets)


def test_o9_the_same_folder_calibrates_and_judges_with_different_pictures(tmp_path: Path) -> None:
    """By content, so the same pictures under other names and in a link are found too."""
    images, annotations = annotated(tmp_path, count=40)
    sets = evaluation_sets([images], [annotations])
    found, (left,) = divide(calibration(images), sets)
    assert not set(found.names) & set(left.names)
    assert (len(found.names), len(left.names), len(left.files)) == (16, 24, 24)
    assert found.note == (
        "truth: 20 pictures were in both --calibration and --images: by their content 16 pictures calibrate and 24 others "
        "judge"
    )
    assert left.digest != sets[0].digest, "what was measured on all of them does not count for these"
    again = calibration(images, names=found.names)
    assert again.digest == found.digest, "a recipe finds them again"
    (tmp_path / "copies").mkdir()
    for number, path in enumerate(sorted(images.iterdir(), reverse=True)):
        shutil.copy(path, tmp_path / "copies" / f"{number}.png")
    (tmp_path / "link").symlink_to(tmp_path / "copies")
    used, (judges,) = divide(calibration(tmp_path / "link"), sets)
    marks = {likeness(picture).sha256 for picture in used.pictures}
    assert not marks & {likeness(read_picture(path)).sha256 for path in judges.files}


def test_a_picture_that_calibrates_judges_in_no_set(tmp_path: Path) -> None:
    images, annotations = annotated(tmp_path, count=40)
    (tmp_path / "second").mkdir()
    for path in sorted(images.iterdir())[:30]:
        shutil.copy(path, tmp_path / "second")
    document = json.loads(annotations.read_text())
    kept = document["images"][:30]
    ids = {entry["id"] for entry in kept}
    persons = [one for one in document["annotations"] if one["image_id"] in ids]
    (tmp_path / "other.json").write_text(json.dumps({**document, "images": kept, "annotations": persons}))
    sets = evaluation_sets([images, tmp_path / "second"], [annotations, tmp_path / "other.json"])
    found, left = divide(calibration(images), sets)
    for one in left:
        assert not set(found.names) & set(one.names)
        assert len(one.names) >= 8


def test_too_few_for_both_are_refused(tmp_path: Path) -> None:
    images, annotations = annotated(tmp_path, count=20)
    with pytest.raises(UsageError, match="20 pictures in common"):
        divide(calibration(images), evaluation_sets([images], [annotations]))


def test_too_few_and_equal_pictures(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no pictures"):
        calibration(tmp_path / "empty")
    folder = pictures(tmp_path / "calibration", 10)
    for number in range(10):
        shutil.copy(folder / "00.png", folder / f"copy{number}.png")
    with pytest.raises(ModelError, match=r"20 calibration pictures in .*, 10 of them different: at least 16"):
        calibration(folder)
