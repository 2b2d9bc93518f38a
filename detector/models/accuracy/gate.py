"""The accuracy gate: a candidate is accepted only if it detects the same people as the reference.

An engine can load, run and be wrong: half precision that overflows, INT8 that detects nothing. Both detectors run on
the same pictures; this works for any two backends. Accepted is what is shown: each measure must keep its limit at the
90 % bound of a paired bootstrap over the pictures, not only on these pictures.
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

from .bootstrap import upper_bound
from .matches import Drop, drop_of

_SAME_PERSON = 0.5  # IoU from which two boxes are of one person


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPictures:
    """Pictures with ground truth (COCO JSON); both detectors need evaluate.EVALUATION_FLOOR as their floor.

    `only` are the file names of those that judge; None: all.
    """

    images: Path
    annotations: Path
    only: frozenset[str] | None = None


_COLUMNS = ("persons", "missed", "extra", "pairs", "iou_lost", "score_moved")


@dataclass(slots=True, kw_only=True)
class _Agreement:
    """One row of _COLUMNS a picture; `iou_lost` and `score_moved` are sums over its pairs."""

    rows: list[tuple[float, ...]] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    deltas: list[float] = field(default_factory=list)

    def total(self, name: str) -> int:
        return int(sum(row[_COLUMNS.index(name)] for row in self.rows))

    def share(self, above: str, below: str) -> float:
        """One column's sum over another's."""
        over, under = (sum(row[_COLUMNS.index(name)] for row in self.rows) for name in (above, below))
        return over / max(1.0, under)

    def bound(self, above: str, below: str) -> float:
        """The upper bound of that share."""
        table = np.array(self.rows, np.float64)
        over, under = table[:, _COLUMNS.index(above)], table[:, _COLUMNS.index(below)]
        return upper_bound(lambda w: float((w * over).sum() / max(1.0, (w * under).sum())), len(table))


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
            return _verdict(tally, limits, None, [f"it failed on picture {len(tally.rows) + 1}: {error}"])
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
    matched = {column for _, column in pairs}
    sure_pairs = [(row, column) for row, column in pairs if row in surely]
    ious = [float(overlaps[row, column]) for row, column in sure_pairs]
    deltas = [abs(float(wanted_scores[row] - found_scores[column])) for row, column in sure_pairs]
    missed = len(surely - {row for row, _ in pairs})
    extra = sum(1 for column, score in enumerate(found_scores) if score >= sure and column not in matched)
    tally.ious += ious
    tally.deltas += deltas
    tally.rows.append((len(surely), missed, extra, len(ious), len(ious) - sum(ious), sum(deltas)))


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


def _ap_drop(reference: AnyDetector, candidate: AnyDetector, truth: LabelledPictures) -> Drop:
    from .average_precision import evaluate

    first, second = (
        evaluate(detector=detector, images=truth.images, annotations=truth.annotations, only=truth.only)
        for detector in (reference, candidate)
    )
    return drop_of(first.matches, second.matches)


def _verdict(tally: _Agreement, limits: Limits, drop: Drop | None, reasons: list[str]) -> Verdict:
    iou_mean = float(np.mean(tally.ious)) if tally.ious else None
    delta_mean = float(np.mean(tally.deltas)) if tally.deltas else None
    reasons = reasons or list(_reasons(tally, limits, drop))
    return Verdict(
        accepted=not reasons,
        reasons=tuple(reasons),
        images=len(tally.rows),
        persons=tally.total("persons"),
        missed=tally.total("missed"),
        extra=tally.total("extra"),
        iou_mean=iou_mean,
        iou_min=min(tally.ious, default=None),
        score_delta_mean=delta_mean,
        score_delta_max=max(tally.deltas, default=None),
        ap_drop=None if drop is None else drop.points,
        ap_drop_bound=None if drop is None else drop.bound,
    )


def _reasons(tally: _Agreement, limits: Limits, drop: Drop | None) -> Iterable[str]:
    """Why it is rejected; written so that NaN is rejected too."""
    persons = tally.total("persons")
    if persons < limits.min_persons:
        yield (
            f"the {len(tally.rows)} pictures show {persons} persons, too few for a comparison: "
            f"give pictures with at least {limits.min_persons}"
        )
        return
    if tally.rows:
        yield from _differences(tally, limits, persons)
    if drop is not None and not drop.proven(limits.ap_drop):
        yield drop.why(limits.ap_drop)


def _differences(tally: _Agreement, limits: Limits, persons: int) -> Iterable[str]:
    """Each measure over its limit, or not shown to be within it."""
    missed, extra, pairs = tally.total("missed"), tally.total("extra"), tally.total("pairs")
    lost, most = missed / max(1, persons), _most(tally, limits, "missed", "persons")
    if not most <= limits.missed_share:
        yield _over(f"it misses {missed} of {persons} persons", lost, most, limits.missed_share, persons)
    more, most = extra / max(1, persons), _most(tally, limits, "extra", "persons")
    if not most <= limits.extra_share:
        yield _over(f"it finds {extra} extra persons, beside {persons}", more, most, limits.extra_share, persons)
    if not pairs:
        return
    off, most = 1.0 - float(np.mean(tally.ious)), _most(tally, limits, "iou_lost", "pairs")
    if not most <= 1.0 - limits.iou_mean:
        what = f"its boxes differ (mean IoU {1.0 - off:.3f}, at least {limits.iou_mean} is required)"
        shown = f"mean IoU {1.0 - off:.3f}, at least {1.0 - most:.3f} ({limits.iou_mean} is required)"
        yield _over(what, off, most, 1.0 - limits.iou_mean, persons, shown=shown)
    off, most = float(np.mean(tally.deltas)), _most(tally, limits, "score_moved", "pairs")
    if not most <= limits.score_delta_mean:
        what = f"its scores differ by {off:.3f} (at most {limits.score_delta_mean} is allowed)"
        shown = f"scores differ by {off:.3f}, at most {most:.3f} ({limits.score_delta_mean} is allowed)"
        yield _over(what, off, most, limits.score_delta_mean, persons, shown=shown)


def _most(tally: _Agreement, limits: Limits, above: str, below: str) -> float:
    """The share that counts: its bound where proof is wanted, else the share itself."""
    return tally.bound(above, below) if limits.proof else tally.share(above, below)


def _over(what: str, value: float, most: float, limit: float, persons: int, *, shown: str | None = None) -> str:
    """`what` where the value itself is over the limit, else that it is not proven to be within."""
    if not value <= limit:
        return what
    return f"not proven with {persons} persons: {shown or f'{what}: {value:.1%}, at most {most:.1%} ({limit:.0%} is allowed)'}"
