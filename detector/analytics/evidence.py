"""How certain it is that a track is a person: what the scores of all its looks tell, summed up.

A sequential probability ratio test (Wald, "Sequential Tests of Statistical Hypotheses", 1945): each look adds the
logarithm of how much likelier its score is of a person than of something else, by the box's height and the light. Ten
looks at a weak score so tell as much as three at a high one. Where boxes of nobody were seen before, each look of such a
score tells less (`false_boxes`).

Pure; times are monotonic seconds of the frames, so a replay gives the same sums.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from detector.core.types import Box, Image, Track

from .evidence_curves import EvidenceCurves
from .false_boxes import Cell, FalseBoxes, cell_of
from .zones import Size

_LEAST, _MOST = -3.0, 30.0  # of a sum: who was hardly seen at first can still be confirmed
_ALIKE = 0.25  # what another look tells at the same pixels, beside a look at others
_FIRST = 3  # looks that count in full wherever they are
_MOVED = 0.1  # heights between two places that show other pixels
_NOBODY_S = 10.0  # a track that is not confirmed by then is nobody
_DARK = 70.0  # grey levels of the picture's mean, below which it is dark


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Of one frame: time (monotonic s), picture's size (px), px of the model's input per px of it, whether it is dark."""

    mono: float
    size: Size
    scale: float
    dark: bool

    @classmethod
    def of(cls, image: Image, mono: float, scale: float) -> Circumstances:
        dark = float(np.mean(image.luma()[::16, ::16])) < _DARK
        return cls(mono=mono, size=(image.width, image.height), scale=scale, dark=dark)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceLook:
    """One look at an undecided track: `score` 0 where it was not found, `height` in px of the model's input.

    `total` is the sum with this look, `bar` what confirms.
    """

    track_id: int
    mono: float
    box: Box
    score: float
    height: float
    dark: bool
    total: float
    bar: float

    @property
    def certain(self) -> bool:
        return self.total >= self.bar


@dataclass(slots=True)
class _EvidenceSum:
    since: float
    total: float = 0.0
    looks: int = 0
    place: tuple[float, float] | None = None
    boxes: deque[tuple[float, Cell, float]] = field(default_factory=deque)  # time, place, score


class TrackEvidence:
    """The sums of one camera's undecided tracks; not thread-safe."""

    def __init__(self, curves: EvidenceCurves) -> None:
        self._curves = curves
        self._candidates: dict[int, _EvidenceSum] = {}
        self._false = FalseBoxes()

    def forget_view(self) -> None:
        """The camera turned: places are others."""
        self._false.forget()
        for candidate in self._candidates.values():
            candidate.boxes.clear()

    def update(
        self, tracks: Sequence[Track], now: Circumstances, *, decided: Collection[int]
    ) -> tuple[EvidenceLook, ...]:
        """A look at each live track that is not among `decided`."""
        undecided = [track for track in tracks if track.id not in decided]
        self._drop({track.id for track in undecided}, decided)
        return tuple(self._look(track, now) for track in undecided)

    def _look(self, track: Track, now: Circumstances) -> EvidenceLook:
        height, score = (track.box[3] - track.box[1]) * now.scale, track.score if track.matched else 0.0
        candidate = self._candidates.setdefault(track.id, _EvidenceSum(since=now.mono))
        weight = self._curves.weigh(score, height, dark=now.dark)
        if track.matched:
            cell = cell_of(track.box, now.size)
            weight = (weight - self._false.penalty(cell, score, now.mono)) * _newness(candidate, track.box)
            candidate.boxes.append((now.mono, cell, score))
        candidate.total = min(max(_LEAST, candidate.total + weight), _MOST)
        if now.mono - candidate.since > _NOBODY_S:
            self._count_false(candidate, until=now.mono - _NOBODY_S)
        return EvidenceLook(
            track_id=track.id,
            mono=now.mono,
            box=track.box,
            score=score,
            height=height,
            dark=now.dark,
            total=candidate.total,
            bar=self._curves.bar,
        )

    def _drop(self, live: Collection[int], decided: Collection[int]) -> None:
        for track_id in [key for key in self._candidates if key not in live]:
            gone = self._candidates.pop(track_id)
            if track_id not in decided:
                self._count_false(gone, until=math.inf)

    def _count_false(self, candidate: _EvidenceSum, *, until: float) -> None:
        while candidate.boxes and candidate.boxes[0][0] <= until:
            t, cell, score = candidate.boxes.popleft()
            self._false.add(cell, score, t)


def _newness(candidate: _EvidenceSum, box: Box) -> float:
    """How much another look tells: looks at the same pixels err alike."""
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    candidate.looks += 1
    moved = candidate.place is None or math.dist(middle, candidate.place) > _MOVED * (box[3] - box[1])
    if moved:
        candidate.place = middle
    return 1.0 if moved or candidate.looks <= _FIRST else _ALIKE
