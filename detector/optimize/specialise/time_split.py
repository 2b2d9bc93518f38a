"""Splits a camera's pictures by time: the first part teaches, the last judges, on visits that did not teach."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detector.analytics.tracker import Tracker
from detector.core.geometry import iou

from .camera_pictures import TimedPicture
from .specialist_gate import JudgedPicture
from .teachers import PictureLabels

_SAME = 0.5
_VISITS_S = 2.0  # further apart, pictures do not show who is who


def judged_part(
    pictures: Sequence[TimedPicture], labels: Sequence[PictureLabels], *, first: int
) -> tuple[list[JudgedPicture], bool]:
    """The pictures from index `first` on, and whether their visits could be followed.

    A person whose visit began before does not count there, neither as found nor as missed.
    """
    if statistics.median(np.diff([one.at_s for one in pictures])) > _VISITS_S:
        return [_judged(pictures[n], labels[n], _unknown(labels[n])) for n in range(first, len(pictures))], False
    visits = visits_of(pictures, labels)
    old = {int(visit) for row in visits[:first] for visit in row if visit >= 0}
    return [_judged(pictures[n], *_without(labels[n], visits[n], old)) for n in range(first, len(pictures))], True


def visits_of(pictures: Sequence[TimedPicture], labels: Sequence[PictureLabels]) -> list[NDArray[np.int64]]:
    """The visit of each person of each picture, by tracking the labels; -1 where that says nothing."""
    tracker, rows = Tracker(), list[NDArray[np.int64]]()
    for picture, label in zip(pictures, labels, strict=True):
        tracks = tracker.update(label.persons, np.ones(len(label.persons), np.float32), picture.at_s)
        boxes = np.array([track.box for track in tracks], np.float32).reshape(-1, 4)
        table, row = iou(label.persons, boxes), _unknown(label)
        for index in range(len(row)):
            if len(boxes) and table[index].max() >= _SAME:
                row[index] = tracks[int(table[index].argmax())].id
        rows.append(row)
    return rows


def _without(label: PictureLabels, visits: NDArray[np.int64], old: set[int]) -> tuple[PictureLabels, NDArray[np.int64]]:
    taught = np.array([int(visit) in old for visit in visits], bool)
    unsure = np.concatenate([label.unsure, label.persons[taught]])
    return PictureLabels(persons=label.persons[~taught], unsure=unsure), visits[~taught]


def _judged(picture: TimedPicture, labels: PictureLabels, visits: NDArray[np.int64]) -> JudgedPicture:
    return JudgedPicture(labels=labels, visits=visits, at_s=picture.at_s)


def _unknown(label: PictureLabels) -> NDArray[np.int64]:
    return np.full(len(label.persons), -1, np.int64)
