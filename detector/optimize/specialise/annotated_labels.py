"""Annotations in the place of the teachers' labels, where there are some: then neither model is judged by its teachers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from detector.core.errors import UsageError
from detector.models.accuracy.average_precision import read_truth

from .camera_pictures import TimedPicture
from .teachers import PictureLabels


def annotated_labels(annotations: Path, folder: Path) -> Mapping[str, PictureLabels]:
    """The persons of each picture by its file's name, px of the file; crowds are `unsure`.

    `annotations` are COCO's JSON of the pictures in `folder`. Raises DetectorError where they are invalid, or name
    pictures that are not there.
    """
    truth = read_truth(annotations, folder)
    names = {entry["id"]: Path(entry["file_name"]).name for entry in truth.images}
    boxes: dict[tuple[str, int], list[list[float]]] = {(name, kind): [] for name in names.values() for kind in (0, 1)}
    for person in truth.persons:
        x, y, width, height = person["bbox"]
        boxes[names[person["image_id"]], int(person["iscrowd"])].append([x, y, x + width, y + height])
    rows = {key: np.array(found, np.float32).reshape(-1, 4) for key, found in boxes.items()}
    return {name: PictureLabels(persons=rows[name, 0], unsure=rows[name, 1]) for name in names.values()}


def refuse_gaps(pictures: Sequence[TimedPicture], truth: Mapping[str, PictureLabels], *, first: int) -> None:
    """Raises UsageError where a picture that judges, from index `first` on, is not annotated."""
    missing = [one.name for one in pictures[first:] if one.name not in truth]
    if missing:
        raise UsageError(
            f"the annotations miss {len(missing)} of the {len(pictures) - first} pictures that judge (the last by time), "
            f"{missing[0]} first: annotate them, or leave --annotations out"
        )


def put_right(
    labels: Sequence[PictureLabels], pictures: Sequence[TimedPicture], truth: Mapping[str, PictureLabels]
) -> list[PictureLabels]:
    """The teachers' `labels`, and the annotations in their place for the pictures that have some."""
    return [
        _scaled(truth[one.name], one.scale) if one.name in truth else label
        for label, one in zip(labels, pictures, strict=True)
    ]


def _scaled(label: PictureLabels, scale: float) -> PictureLabels:
    return PictureLabels(persons=label.persons * np.float32(scale), unsure=label.unsure * np.float32(scale))
