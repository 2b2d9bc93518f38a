"""Annotations take the place of the teachers' labels; every picture that judges needs them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.core.errors import DetectorError, UsageError
from detector.core.types import ArrayImage
from detector.optimize.specialise.annotated_labels import annotated_labels, put_right, refuse_gaps
from detector.optimize.specialise.camera_pictures import TimedPicture
from detector.optimize.specialise.teachers import PictureLabels

SMALL = ArrayImage(np.zeros((90, 160, 3), np.uint8))
TEACHERS = PictureLabels(persons=np.array([[1, 2, 30, 60]], np.float32), unsure=np.zeros((0, 4), np.float32))


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    """Two pictures of 320x180: one with a person and a crowd, one with nobody."""
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((180, 320, 3), np.uint8))
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    persons = [
        {"id": n, "image_id": 1, "category_id": 1, "bbox": box, "iscrowd": n}
        for n, box in enumerate(([20, 40, 60, 100], [200, 0, 100, 80]))
    ]
    document = {"images": images, "annotations": persons, "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "persons.json").write_text(json.dumps(document), encoding="utf-8")
    return tmp_path / "persons.json"


def pictures(*names: str) -> list[TimedPicture]:
    return [TimedPicture(name=name, image=SMALL, at_s=float(n), scale=0.5) for n, name in enumerate(names)]


def test_they_take_the_place_of_the_teachers_labels(marked: Path) -> None:
    truth = annotated_labels(marked, marked.parent)
    found = put_right([TEACHERS] * 3, pictures("a.png", "other.png", "b.png"), truth)
    assert found[0].persons.tolist() == [[10, 20, 40, 70]]
    assert found[0].unsure.tolist() == [[100, 0, 150, 40]]
    assert found[1] is TEACHERS
    assert found[2].persons.shape == found[2].unsure.shape == (0, 4)


def test_a_judging_picture_without_annotations_is_named(marked: Path) -> None:
    truth = annotated_labels(marked, marked.parent)
    refuse_gaps(pictures("x.png", "a.png", "b.png"), truth, first=1)
    with pytest.raises(UsageError, match=r"the annotations miss 1 of the 3 pictures that judge \(.*\), x.png first"):
        refuse_gaps(pictures("x.png", "a.png", "b.png"), truth, first=0)


def test_annotated_pictures_that_are_not_there_are_named(marked: Path) -> None:
    (marked.parent / "b.png").unlink()
    with pytest.raises(DetectorError, match="1 of 2 annotated pictures are not in"):
        annotated_labels(marked, marked.parent)
