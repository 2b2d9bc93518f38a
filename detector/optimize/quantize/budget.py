"""Decides whether a smaller model is good enough: by ground truth, or without it by agreement with the original."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from detector.core.errors import InferenceError, ModelError
from detector.core.types import Image
from detector.inference.agreement import Limits, Verdict
from detector.inference.detector import PersonDetector
from detector.models.accuracy.average_precision import EVALUATION_FLOOR, Evaluation, evaluate
from detector.models.accuracy.gate import LabelledPictures, compare
from detector.models.accuracy.matches import drop_of

Open = Callable[[float], PersonDetector]
"""Loads a model with that score floor; raises ModelError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """`ap` 0..1 and `ap_drop` in points of 100 where there is ground truth; `verdict` where there is none.

    `ap_drop_bound` is the most that it may be on other pictures like these (90 %). `loss` orders the candidates of one
    judge: less is better.
    """

    holds: bool
    why: str
    loss: float
    ap: float | None = None
    ap_drop: float | None = None
    ap_drop_bound: float | None = None
    verdict: Verdict | None = None


class Judge(Protocol):
    """Says whether a candidate holds the budget."""

    def __call__(self, candidate: Open) -> Ruling:
        """Raises ModelError where the candidate does not load; one that does not run does not hold."""
        ...


class ByTruth:
    """Average precision on annotated pictures: shown, at the 90 % bound, to fall by at most `max_ap_drop` points of 100."""

    def __init__(self, reference: Open, truth: LabelledPictures, *, max_ap_drop: float) -> None:
        self._truth, self._max = truth, max_ap_drop
        self._reference = self._measured(reference)
        self.ap = self._reference.ap

    def __call__(self, candidate: Open) -> Ruling:
        try:
            found = self._measured(candidate)
        except InferenceError as error:
            return Ruling(holds=False, why=f"it does not run: {error}", loss=math.inf)
        drop = drop_of(self._reference.matches, found.matches)
        return Ruling(
            holds=drop.proven(self._max),
            why=drop.why(self._max),
            loss=drop.points,
            ap=found.ap,
            ap_drop=drop.points,
            ap_drop_bound=drop.bound,
        )

    def _measured(self, detector: Open) -> Evaluation:
        truth = self._truth
        with closing(detector(EVALUATION_FLOOR)) as loaded:
            return evaluate(detector=loaded, images=truth.images, annotations=truth.annotations, only=truth.only)


class ByAgreement:
    """The accuracy gate's measure on pictures without annotations; without `proof` good enough to choose by."""

    def __init__(self, reference: Open, pictures: Sequence[Image], *, proof: bool = True) -> None:
        self._reference, self._pictures, self._limits = reference, pictures, Limits(proof=proof)
        with closing(reference(self._limits.sure)) as loaded:
            persons = sum(len(loaded.detect_image(picture)[1]) for picture in pictures)
        if persons < self._limits.min_persons:
            raise ModelError(
                f"the {len(pictures)} pictures to {'judge' if proof else 'choose'} by show {persons} persons: give pictures with at least "
                f"{self._limits.min_persons}, or --images and --annotations"
            )

    def __call__(self, candidate: Open) -> Ruling:
        floor = self._limits.sure - self._limits.slack
        with closing(self._reference(floor)) as reference, closing(candidate(floor)) as loaded:
            verdict = compare(reference, loaded, self._pictures, limits=self._limits)
        # Persons lost or invented weigh most, then how far boxes and scores lie off.
        wrong = (verdict.missed + verdict.extra) / max(1, verdict.persons)
        loss = wrong + 1.0 - (verdict.iou_mean or 0.0) + (verdict.score_delta_mean or 0.0)
        return Ruling(holds=verdict.accepted, why=verdict.why, loss=loss, verdict=verdict)
