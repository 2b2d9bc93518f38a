"""The pictures of a study, refused before anything is run where they will not do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from detector.core.errors import DetectorError, ModelError, SourceError, UsageError
from detector.optimize.study.data import calibration, evaluation_sets
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
    with pytest.raises(DetectorError, match=r"1 of 3 annotated pictures are not in .*, 01\.png first"):
        evaluation_sets([images], [annotations])


def test_each_folder_needs_its_annotations(tmp_path: Path) -> None:
    images, annotations = annotated(tmp_path)
    with pytest.raises(UsageError, match="1 --images and 0 --annotations"):
        evaluation_sets([images], [])
    with pytest.raises(UsageError, match="two sets of annotations are called truth"):
        evaluation_sets([images, images], [annotations, annotations])


def test_pictures_that_are_judged_by_too_are_counted(tmp_path: Path) -> None:
    images, annotations = annotated(tmp_path)
    sets = evaluation_sets([images], [annotations])
    folder = pictures(tmp_path / "calibration", 16)
    assert calibration(folder, sets).shared == 0
    shutil.copy(images / "00.png", folder / "other.png")
    found = calibration(folder, sets)
    assert (found.shared, len(found.pictures)) == (1, 17)


def test_too_few_and_equal_pictures(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no pictures"):
        calibration(tmp_path / "empty", [])
    folder = pictures(tmp_path / "calibration", 10)
    for number in range(10):
        shutil.copy(folder / "00.png", folder / f"copy{number}.png")
    with pytest.raises(ModelError, match=r"20 calibration pictures in .*, 10 of them different: at least 16"):
        calibration(folder, [])
