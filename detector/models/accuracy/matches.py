"""What average precision is made of, picture by picture, so that it can be computed again for drawn pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import FEWEST, Weights, upper_bound

_RECALLS = np.linspace(0.0, 1.0, 101)  # COCO's recall points
_THRESHOLDS = 10  # COCO's IoU thresholds: .50, .55 to .95


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """The boxes of one model on a set of pictures, by falling score: which picture each is of, and what it hits.

    `picture` [D] is an index into the set; `hits` and `ignored` [10, D], one row an IoU threshold .50:.95, are those
    that match a person, and those that match a crowd. `persons` [pictures] are the persons to find in each.
    """

    picture: NDArray[np.int64]
    hits: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    persons: NDArray[np.int64]

    @property
    def peopled(self) -> int:
        """How many of the pictures show persons."""
        return int(np.count_nonzero(self.persons))

    def ap(self, weights: Weights | None = None) -> float:
        """Average precision 0..1 over IoU .50:.95 as COCO's, each picture counted `weights` times; NaN without persons."""
        count = np.ones(len(self.persons), np.int64) if weights is None else weights
        persons = int((self.persons * count).sum())
        if persons == 0:
            return float("nan")
        times = count[self.picture]
        return float(np.mean([_precision(h, i, times, persons) for h, i in zip(self.hits, self.ignored, strict=True)]))

    def to_json(self) -> dict[str, Any]:
        """As whole numbers: the thresholds are the bits of `hits` and `ignored`."""
        bits = 1 << np.arange(_THRESHOLDS, dtype=np.int64)[:, None]
        return {
            "picture": self.picture.tolist(),
            "hits": (self.hits * bits).sum(0).tolist(),
            "ignored": (self.ignored * bits).sum(0).tolist(),
            "persons": self.persons.tolist(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Matches:
        """What `to_json` gave; raises KeyError, TypeError or ValueError for anything else."""
        columns = {name: np.array(document[name], np.int64) for name in ("picture", "hits", "ignored", "persons")}
        bits = np.arange(_THRESHOLDS, dtype=np.int64)[:, None]
        return cls(
            picture=columns["picture"],
            hits=(columns["hits"] >> bits & 1).astype(np.bool_),
            ignored=(columns["ignored"] >> bits & 1).astype(np.bool_),
            persons=columns["persons"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """By how many AP points of 100 a candidate is below its reference, and at most (90 %, paired bootstrap).

    `persons` in `pictures` pictures with persons were there to find.
    """

    points: float
    bound: float
    persons: int
    pictures: int

    def proven(self, allowed: float) -> bool:
        """Whether the drop is shown to be at most `allowed` points."""
        return self.pictures >= FEWEST and self.bound <= allowed + 1e-9

    def why(self, allowed: float) -> str:
        """One line for people: what was shown, or not."""
        change = f"{_signed(-self.points)}, at most {_signed(-self.bound)}"
        if self.proven(allowed):
            return f"person AP changes by {change} points with {self.persons} persons"
        if self.points > allowed + 1e-9:
            return f"person AP changes by {change} points with {self.persons} persons ({allowed:g} are allowed)"
        few = f" in {self.pictures} pictures (at least {FEWEST} are needed)" if self.pictures < FEWEST else ""
        return f"not proven with {self.persons} persons{few}: {change} points of AP ({allowed:g} are allowed)"


def drop_of(reference: Matches, candidate: Matches) -> Drop:
    """Both are of the same pictures, in the same order; raises ValueError where they are not."""
    if not np.array_equal(reference.persons, candidate.persons):
        raise ValueError("the two were measured on different pictures")

    def points(weights: Weights) -> float:
        return 100.0 * (reference.ap(weights) - candidate.ap(weights))

    count = len(reference.persons)
    return Drop(
        points=points(np.ones(count, np.int64)),
        bound=upper_bound(points, count),
        persons=int(reference.persons.sum()),
        pictures=reference.peopled,
    )


def matches_of(evaluated: Sequence[Any], image_ids: Sequence[int]) -> Matches:
    """From pycocotools' `COCOeval.evalImgs` of one category, whose first entries are of persons of all sizes."""
    whole = {entry["image_id"]: entry for entry in evaluated[: len(image_ids)] if entry is not None}
    persons = [int(np.count_nonzero(~np.asarray(whole[i]["gtIgnore"], bool))) if i in whole else 0 for i in image_ids]
    empty: NDArray[np.bool_] = np.zeros((_THRESHOLDS, 0), np.bool_)
    seen = [(index, whole[i]) for index, i in enumerate(image_ids) if i in whole]
    scores = np.concatenate([np.asarray(entry["dtScores"], np.float64) for _, entry in seen] or [np.zeros(0)])
    order = np.argsort(-scores, kind="mergesort")  # as pycocotools: of equal scores the earlier picture's first
    picture = np.concatenate([np.full(len(entry["dtScores"]), index, np.int64) for index, entry in seen] or [np.zeros(0, np.int64)])  # fmt: skip
    hits = np.concatenate([np.asarray(entry["dtMatches"]).reshape(_THRESHOLDS, -1) > 0 for _, entry in seen] or [empty], 1)  # fmt: skip
    ignored = np.concatenate([np.asarray(entry["dtIgnore"]).reshape(_THRESHOLDS, -1) > 0 for _, entry in seen] or [empty], 1)  # fmt: skip
    return Matches(
        picture=picture[order],
        hits=hits[:, order],
        ignored=ignored[:, order],
        persons=np.array(persons, np.int64),
    )


def _precision(hits: NDArray[np.bool_], ignored: NDArray[np.bool_], times: Weights, persons: int) -> float:
    """The mean over the recall points of the best precision from there on (COCOeval.accumulate)."""
    right = np.cumsum(times * (hits & ~ignored))
    wrong = np.cumsum(times * (~hits & ~ignored))
    precision = right / np.maximum(right + wrong, 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(right / persons, _RECALLS, side="left")
    return float(np.append(best, 0.0)[np.minimum(places, len(best))].mean())


def _signed(points: float) -> str:
    return f"{0.0 if abs(points) < 0.005 else points:+.2f}"
