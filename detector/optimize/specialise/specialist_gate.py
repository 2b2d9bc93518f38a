"""Judges a specialist against the general model on pictures that it was not taught on, light by light.

Both are compared with the labels that the teachers agree on (or with annotations). A loss counts as shown where its
90 % bound by the paired bootstrap over the pictures keeps the limit, not only on these very pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.analytics.tracker import Tracker
from detector.core.geometry import areas, intersections, iou
from detector.core.types import Floats
from detector.models.accuracy.bootstrap import Weights, upper_bound
from detector.models.accuracy.matches import Matches

from .teachers import PictureLabels

SURE = 0.5
"""The score from which the service counts a person, unless it is told otherwise."""

FEWEST_PERSONS = 40
"""Persons in pictures of one light to judge by."""

_SAME = 0.5
_VISIT = 3  # pictures that make a visit, as the frames that make an alert
_BOX_LOSS = 0.05  # of mean IoU


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPicture:
    """`visits` [M] are the visits of the labels' persons, -1 where the tracker saw none."""

    labels: PictureLabels
    visits: NDArray[np.int64]
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialistFigures:
    """AP at IoU .50, share of persons found at SURE, mean IoU of those, visits found, false visits."""

    ap50: float
    found: float
    iou: float
    visits: int
    false_visits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialistVerdict:
    """`reasons` why it is not offered, empty where it is; `bounds` on what it loses against the general model."""

    reasons: tuple[str, ...]
    student: SpecialistFigures
    general: SpecialistFigures
    bounds: dict[str, float]
    pictures: int
    persons: int
    visits: int

    @property
    def accepted(self) -> bool:
        return not self.reasons

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "accepted": self.accepted}


Found = tuple[Floats, Floats]
"""Boxes [N,4] and scores [N] of one picture, down to low scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    """Of one model: matches at IoU .50, persons found and their IoU by picture, visits found, false visits."""

    matches: Matches
    found: NDArray[np.float64]
    overlaps: NDArray[np.float64]
    visits: frozenset[int]
    false_visits: int

    def figures(self) -> SpecialistFigures:
        return SpecialistFigures(
            ap50=round(self.matches.ap(), 4),
            found=round(float(self.found.sum() / max(1, self.matches.persons.sum())), 4),
            iou=round(float(self.overlaps.sum() / max(1.0, self.found.sum())), 4),
            visits=len(self.visits),
            false_visits=self.false_visits,
        )


def judge_specialist(
    pictures: Sequence[JudgedPicture], student: Sequence[Found], general: Sequence[Found], *, max_loss: float
) -> SpecialistVerdict:
    """`max_loss`: AP50 and share of persons found, 0..1, that may be lost at the most."""
    ours, theirs = _tally(pictures, student), _tally(pictures, general)
    persons = ours.matches.persons
    total = int(persons.sum())
    bounds = dict[str, float]()
    if total >= FEWEST_PERSONS:
        bounds = {name: round(bound, 4) for name, bound in _bounds(ours, theirs).items()}
    visits = {int(visit) for one in pictures for visit in one.visits if visit >= 0}
    return SpecialistVerdict(
        reasons=tuple(_reasons(ours, theirs, bounds, total, max_loss)),
        student=ours.figures(),
        general=theirs.figures(),
        bounds=bounds,
        pictures=len(pictures),
        persons=total,
        visits=len(visits),
    )


def _bounds(ours: _Tally, theirs: _Tally) -> dict[str, float]:
    count = len(ours.found)
    persons = ours.matches.persons

    def lost_found(w: Weights) -> float:
        return float(((theirs.found - ours.found) * w).sum() / max(1.0, float((persons * w).sum())))

    def lost_iou(w: Weights) -> float:
        counts = [float((each.found * w).sum()) for each in (theirs, ours)]
        if 0.0 in counts:  # nobody was found: that is told as such
            return 0.0
        means = [float((each.overlaps * w).sum()) / n for each, n in zip((theirs, ours), counts, strict=True)]
        return means[0] - means[1]

    return {
        "ap50": upper_bound(lambda w: theirs.matches.ap(w) - ours.matches.ap(w), count),
        "found": upper_bound(lost_found, count),
        "iou": upper_bound(lost_iou, count),
    }


def _reasons(ours: _Tally, theirs: _Tally, bounds: dict[str, float], persons: int, max_loss: float) -> list[str]:
    if persons < FEWEST_PERSONS:
        return [
            f"only {persons} persons to judge by who did not teach, at least {FEWEST_PERSONS} are needed: give it more pictures"
        ]
    words = {"ap50": "AP50", "found": "persons found", "iou": "overlap of boxes"}
    limits = {"ap50": max_loss, "found": max_loss, "iou": _BOX_LOSS}
    mine, general = asdict(ours.figures()), asdict(theirs.figures())
    reasons = [
        f"{words[name]}: {mine[name]:.3f} against the general model's {general[name]:.3f}, a loss of up to "
        f"{bounds[name]:.3f} where {limits[name]:g} is allowed"
        for name in words
        if bounds[name] > limits[name]
    ]
    if missed := theirs.visits - ours.visits:
        reasons.append(f"it misses {len(missed)} of {len(theirs.visits)} visits that the general model finds")
    if ours.false_visits > theirs.false_visits:
        reasons.append(f"{ours.false_visits} false visits, the general model has {theirs.false_visits}")
    return reasons


def _tally(pictures: Sequence[JudgedPicture], found: Sequence[Found]) -> _Tally:
    rows: list[tuple[float, int, bool, bool]] = []  # score, picture, hit, ignored
    counts = np.zeros((2, len(pictures)))
    seen, strangers = dict[int, int](), Tracker()
    hits_of: dict[int, int] = {}
    for number, (picture, seen_there) in enumerate(zip(pictures, found, strict=True)):
        order = np.argsort(-seen_there[1], kind="stable")
        boxes, scores = (each[order] for each in seen_there)
        owner, ignored = _matched(boxes, picture.labels)
        rows += [(float(s), number, bool(o >= 0), bool(i)) for s, o, i in zip(scores, owner, ignored, strict=True)]
        sure = scores >= SURE
        for index in np.flatnonzero(sure & (owner >= 0)):
            person = int(owner[index])
            counts[0, number] += 1
            counts[1, number] += float(iou(boxes[index : index + 1], picture.labels.persons[person : person + 1])[0, 0])
            visit = int(picture.visits[person])
            seen[visit] = seen.get(visit, 0) + 1
        false = sure & (owner < 0) & ~ignored
        for track in strangers.update(boxes[false], scores[false], float(number)):
            hits_of[track.id] = track.hits
    return _Tally(
        matches=_matches(rows, [len(one.labels.persons) for one in pictures]),
        found=counts[0],
        overlaps=counts[1],
        visits=frozenset(visit for visit, count in seen.items() if visit >= 0 and count >= _VISIT),
        false_visits=sum(1 for hits in hits_of.values() if hits >= _VISIT),
    )


def _matched(boxes: Floats, labels: PictureLabels) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Of each box, best score first: the person it finds or -1, and whether it is of somebody who does not count."""
    owner = np.full(len(boxes), -1, np.int64)
    table = iou(boxes, labels.persons)
    for index in range(len(boxes)):
        if table.shape[1] and table[index].max() >= _SAME:
            owner[index] = int(table[index].argmax())
            table[:, owner[index]] = 0.0
    if not len(labels.unsure):
        return owner, np.zeros(len(boxes), bool)
    shared = intersections(boxes, labels.unsure) / np.maximum(areas(boxes)[:, None], 1e-9)
    return owner, (owner < 0) & (shared.max(axis=1, initial=0.0) >= _SAME)


def _matches(rows: list[tuple[float, int, bool, bool]], persons: list[int]) -> Matches:
    ordered = sorted(rows, key=lambda row: -row[0])
    return Matches(
        picture=np.array([row[1] for row in ordered], np.int64),
        hits=np.array([[row[2] for row in ordered]], bool),
        ignored=np.array([[row[3] for row in ordered]], bool),
        persons=np.array(persons, np.int64),
    )
