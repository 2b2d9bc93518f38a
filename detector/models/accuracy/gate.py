"""The accuracy gate: a candidate is accepted only if it detects the same people as the reference.

An engine can load, run and be wrong: half precision that overflows, INT8 that detects nothing. Both detectors run on
the same pictures; this works for any two backends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.core.errors import InferenceError
from detector.core.geometry import iou
from detector.core.types import Floats, Image
from detector.inference.agreement import Limits, Verdict
from detector.inference.multi_size import AnyDetector

_SAME_PERSON = 0.5  # IoU from which two boxes are of one person


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPictures:
    """Pictures with ground truth (COCO JSON); both detectors need evaluate.EVALUATION_FLOOR as their floor."""

    images: Path
    annotations: Path


@dataclass(slots=True, kw_only=True)
class _Agreement:
    images: int = 0
    persons: int = 0
    missed: int = 0
    extra: int = 0
    ious: list[float] = field(default_factory=list)
    deltas: list[float] = field(default_factory=list)


def compare(
    reference: AnyDetector,
    candidate: AnyDetector,
    images: Iterable[Image],
    *,
    limits: Limits | None = None,
    truth: LabelledPictures | None = None,
) -> Verdict:
    """Compare `candidate` with `reference` on `images`; `limits` None: the defaults.

    A person counts if one of them gives a score of at least `limits.sure`; the other finds it if it has a box with
    IoU 0.5 and a score of at least `limits.sure - limits.slack`. A candidate that cannot run or returns nonsense is
    not accepted. Raises InferenceError if the reference fails.
    """
    limits, tally = limits or Limits(), _Agreement()
    for image in images:
        wanted = _floored(reference.detect_image(image), limits.sure - limits.slack)
        try:
            found = _floored(candidate.detect_image(image), limits.sure - limits.slack)
        except InferenceError as error:
            return _verdict(tally, limits, None, [f"it failed on picture {tally.images + 1}: {error}"])
        _count(tally, wanted, found, limits.sure)
    drop = None if truth is None else _ap_drop(reference, candidate, truth)
    return _verdict(tally, limits, drop, [])


def _floored(result: tuple[Floats, Floats, float], floor: float) -> tuple[Floats, Floats]:
    boxes, scores, _ = result
    return boxes[scores >= floor], scores[scores >= floor]


def _count(tally: _Agreement, wanted: tuple[Floats, Floats], found: tuple[Floats, Floats], sure: float) -> None:
    (wanted_boxes, wanted_scores), (found_boxes, found_scores) = wanted, found
    overlaps = iou(wanted_boxes, found_boxes)
    pairs = _pairs(overlaps)
    surely = {index for index in range(len(wanted_scores)) if wanted_scores[index] >= sure}
    tally.images += 1
    tally.persons += len(surely)
    tally.missed += len(surely - {row for row, _ in pairs})
    matched = {column for _, column in pairs}
    tally.extra += sum(1 for column, score in enumerate(found_scores) if score >= sure and column not in matched)
    for row, column in pairs:
        if row in surely:
            tally.ious.append(float(overlaps[row, column]))
            tally.deltas.append(abs(float(wanted_scores[row] - found_scores[column])))


def _pairs(overlaps: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The best pairs first, each box once."""
    pairs: list[tuple[int, int]] = []
    rows: set[int] = set()
    columns: set[int] = set()
    for flat in np.argsort(-overlaps, axis=None):
        row, column = (int(side) for side in np.unravel_index(flat, overlaps.shape))
        if overlaps[row, column] < _SAME_PERSON:
            break
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            pairs.append((row, column))
    return pairs


def _ap_drop(reference: AnyDetector, candidate: AnyDetector, truth: LabelledPictures) -> float:
    """By how many points of 100 the candidate's average precision is below the reference's."""
    from .average_precision import evaluate

    first, second = (
        evaluate(detector=detector, images=truth.images, annotations=truth.annotations)
        for detector in (reference, candidate)
    )
    return 100.0 * (first.ap - second.ap)


def _verdict(tally: _Agreement, limits: Limits, drop: float | None, reasons: list[str]) -> Verdict:
    iou_mean = float(np.mean(tally.ious)) if tally.ious else None
    delta_mean = float(np.mean(tally.deltas)) if tally.deltas else None
    reasons = reasons or list(_reasons(tally, limits, iou_mean, delta_mean, drop))
    return Verdict(
        accepted=not reasons,
        reasons=tuple(reasons),
        images=tally.images,
        persons=tally.persons,
        missed=tally.missed,
        extra=tally.extra,
        iou_mean=iou_mean,
        iou_min=min(tally.ious, default=None),
        score_delta_mean=delta_mean,
        score_delta_max=max(tally.deltas, default=None),
        ap_drop=drop,
    )


def _reasons(
    tally: _Agreement, limits: Limits, iou_mean: float | None, delta_mean: float | None, drop: float | None
) -> Iterable[str]:
    """Why it is rejected; written so that NaN is rejected too."""
    if tally.persons < limits.min_persons:
        yield (
            f"the {tally.images} pictures show {tally.persons} persons, too few for a comparison: "
            f"give pictures with at least {limits.min_persons}"
        )
        return
    if not tally.missed <= limits.missed_share * tally.persons:
        yield f"it misses {tally.missed} of {tally.persons} persons"
    if not tally.extra <= limits.extra_share * tally.persons:
        yield f"it finds {tally.extra} extra persons, beside {tally.persons}"
    if iou_mean is not None and not iou_mean >= limits.iou_mean:
        yield f"its boxes differ (mean IoU {iou_mean:.3f}, at least {limits.iou_mean} is required)"
    if delta_mean is not None and not delta_mean <= limits.score_delta_mean:
        yield f"its scores differ by {delta_mean:.3f} (at most {limits.score_delta_mean} is allowed)"
    if drop is not None and not drop <= limits.ap_drop:
        yield f"its average precision is {drop:.2f} points lower (at most {limits.ap_drop} are allowed)"
