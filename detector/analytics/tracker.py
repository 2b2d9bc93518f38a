"""The tracker: follows the persons of one camera over time.

ByteTrack (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV
2022): detections with a high score are paired with the predicted boxes by overlap first, weak ones then
with the remaining boxes, so that a half-hidden person keeps the id; weak detections start no track, unless
`new_score` is below `high_score`: such a track gives way to all others until it has had a high score.
Two additions make it work for frames at irregular times (motion gate, overload, outages): motion and
time limits are in seconds, and a third round pairs by distance where a step was too long for overlap.

Pure: time comes in with the detections.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from detector.core.geometry import iou
from detector.core.types import Floats, Track

from .assignment import Array, Index, pair
from .kalman import Beliefs, MotionModel, born, correct, predict, to_center

_CHI2_2DOF_99 = 9.21  # squared Mahalanobis distance that holds 99 % of a plane's Gaussian
_LOG_SIZE = 0.4  # a person's height does not change by more than e^0.4, half as much again, in one jump
_ROW = np.dtype(
    [("id", "i8"), ("score", "f8"), ("first", "f8"), ("last", "f8"), ("hits", "i8"), ("misses", "i8"), ("sure", "?")]
)  # sure: has had a high score


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerSettings:
    """Scores 0..1, overlaps (IoU) 0..1, times in s, counts in updates.

    `_s` and `_updates` limits go together: a limit is reached when both are exceeded, so neither a high
    nor a low frame rate makes it shorter.
    """

    min_score: float = 0.1
    high_score: float = 0.5
    new_score: float = 0.5
    min_iou: float = 0.2
    min_iou_weak: float = 0.4
    duplicate_iou: float = 0.7
    duplicate_iou_weak: float = 0.3
    confirm_hits: int = 2
    tentative_s: float = 1.0
    tentative_updates: int = 1
    max_lost_s: float = 2.0
    max_lost_updates: int = 5
    jump_s: float = 1.0
    jump_updates: int = 1
    jump_heights: float = 1.0
    coast_s: float = 2.0
    outage_s: float = 5.0
    motion: MotionModel = field(default_factory=MotionModel)

    def __post_init__(self) -> None:
        for name in (item.name for item in fields(self) if item.name != "motion"):
            top = 1.0 if name.endswith(("score", "iou", "iou_weak")) else 1e6
            if not 0.0 <= getattr(self, name) <= top:
                raise ValueError(f"{name} must be between 0 and {top:g}, got {getattr(self, name)}")
        if not self.min_score <= min(self.high_score, self.new_score):
            raise ValueError("min_score must not be above high_score or new_score")


@dataclass(frozen=True, slots=True)
class _Seen:
    """One frame's detections, best first: boxes [N, 4] px, scores [N], whether the score is high [N]."""

    boxes: Array
    scores: Array
    sure: NDArray[np.bool_]


class Tracker:
    """Tracks the persons of one camera; not thread-safe.

    A track is returned from its first high-score detection on (`hits` 1) until it is dropped, so that rules
    can count frames themselves; confirmed tracks have `hits >= confirm_hits`. Boxes are the filter's estimate,
    in px; that of a lost track is its prediction, which moves on for `coast_s` at most. Ids count up from 1 and
    are never reused.
    """

    def __init__(self, *, settings: TrackerSettings | None = None) -> None:
        self._settings = settings or TrackerSettings()
        self._beliefs = born(np.empty((0, 4)), self._settings.motion)
        self._rows = np.empty(0, _ROW)
        self._next_id = 1
        self._now: float | None = None

    @property
    def settings(self) -> TrackerSettings:
        return self._settings

    def shift(self, dx: float, dy: float) -> None:
        """The camera turned: the whole picture moved by (px), and every track's box with it; its own velocity stays."""
        moments = self._beliefs.moments.copy()
        moments[0, :, :2] += (dx, dy)
        self._beliefs = Beliefs(moments)

    def update(self, boxes: Floats, scores: Floats, t: float) -> tuple[Track, ...]:
        """Every live track after one frame, by id: boxes [N, 4] px, scores [N] 0..1, `t` monotonic s.

        The order of the detections does not matter. Raises ValueError, and changes nothing, for wrong shapes,
        values that are not finite, inverted boxes, or time that runs backwards.
        """
        step = self._step(t)
        seen = self._order(*_checked(boxes, scores))
        outage = step > self._settings.outage_s
        self._coast(t, step)
        owner = self._associate(seen, t, outage=outage)
        self._follow(seen, owner, t)
        self._forget(t, outage=outage)
        self._start_tracks(seen, owner, t)
        self._now = t
        return tuple(
            Track(id=key, box=tuple(box), score=score, first_mono=first, last_mono=last, hits=hits, matched=not misses)
            for (key, score, first, last, hits, misses, _), box in zip(
                self._rows.tolist(), self._beliefs.boxes.tolist(), strict=True
            )
        )

    def _step(self, t: float) -> float:
        if not math.isfinite(t):
            raise ValueError(f"the time must be finite, got {t}")
        if self._now is not None and t < self._now:
            raise ValueError(f"time runs backwards: {t} after {self._now}")
        return 0.0 if self._now is None else t - self._now

    def _order(self, boxes: Array, scores: Array) -> _Seen:
        # Best first, then by position: ids and ties must not depend on the model's order.
        order = np.lexsort((*boxes.T[::-1], -scores))
        order = order[scores[order] >= self._settings.min_score]
        scores = scores[order]
        return _Seen(boxes[order], scores, scores >= self._settings.high_score)

    def _coast(self, t: float, step: float) -> None:
        """Predict every belief to time `t`, but at most `coast_s` beyond its last detection."""
        if not len(self._rows):
            return
        end = self._rows["last"] + self._settings.coast_s
        moving = np.clip(np.minimum(t, end) - np.minimum(t - step, end), 0.0, None)
        self._beliefs = predict(self._beliefs, moving, self._settings.motion)

    def _associate(self, seen: _Seen, t: float, *, outage: bool) -> Index:
        """For each detection the row of its track, or -1."""
        rounds = _Rounds(len(self._rows), len(seen.scores))
        if not len(self._rows) or not len(seen.scores):
            return rounds.owner
        settings = self._settings
        overlap = iou(self._beliefs.boxes, seen.boxes)
        confirmed = self._confirmed()
        # After an outage positions are unknown: only a person still in the same place is the same.
        floor = settings.min_iou_weak if outage else settings.min_iou
        rounds.play(overlap, confirmed, seen.sure, floor=floor)
        rounds.play(overlap, confirmed, ~seen.sure, floor=settings.min_iou_weak)
        rounds.play(overlap, ~confirmed, seen.sure, floor=floor)
        if not outage:
            fresh = ~self._unseen(t, settings.jump_s, settings.jump_updates)
            rounds.play(self._nearness(seen), fresh, seen.sure, floor=0.0)
        if settings.new_score < settings.high_score:
            rounds.play(overlap, ~confirmed, ~seen.sure, floor=settings.min_iou_weak)
        return rounds.owner

    def _confirmed(self) -> NDArray[np.bool_]:
        """Which tracks the others give way to [tracks]."""
        found: NDArray[np.bool_] = (self._rows["hits"] >= self._settings.confirm_hits) & self._rows["sure"]
        return found

    def _nearness(self, seen: _Seen) -> Array:
        """1 at the predicted centre, 0 at the gate's edge, -1 beyond it [tracks, detections]."""
        settings, mean = self._settings, self._beliefs.mean[:, None, :]
        centers = to_center(seen.boxes)[None, :, :]
        height = np.maximum(mean[:, :, 3], 1.0)
        spread = self._beliefs.variance[:, None, :2] + np.square(settings.motion.measure * height)[:, :, None]
        away = np.square(centers[:, :, :2] - mean[:, :, :2])
        distance = (away / spread).sum(axis=2)
        resized = np.abs(np.log(np.maximum(centers[:, :, 3], 1.0) / height))
        near = np.sqrt(away.sum(axis=2)) <= settings.jump_heights * height
        inside = (distance <= _CHI2_2DOF_99) & near & (resized <= _LOG_SIZE)
        return np.where(inside, 1.0 - distance / _CHI2_2DOF_99, -1.0)

    def _unseen(self, t: float, seconds: float, updates: int) -> NDArray[np.bool_]:
        """Which tracks were unseen for longer than both, before this frame [tracks]."""
        found: NDArray[np.bool_] = (t - self._rows["last"] > seconds) & (self._rows["misses"] > updates)
        return found

    def _follow(self, seen: _Seen, owner: Index, t: float) -> None:
        """Correct the tracks that were matched; count a miss for the others."""
        found = np.flatnonzero(owner >= 0)
        rows = owner[found]
        self._rows["misses"] += 1
        if not len(found):
            return
        settled = correct(self._beliefs.take(rows), seen.boxes[found], ~seen.sure[found], self._settings.motion)
        self._beliefs = self._beliefs.replaced(rows, settled)
        self._rows["misses"][rows] = 0
        self._rows["hits"][rows] += 1
        self._rows["last"][rows] = t
        self._rows["score"][rows] = seen.scores[found]
        self._rows["sure"][rows] |= seen.sure[found]

    def _forget(self, t: float, *, outage: bool) -> None:
        settings, misses = self._settings, self._rows["misses"]
        gone = self._unseen(t, settings.max_lost_s, settings.max_lost_updates)
        gone |= ~self._confirmed() & self._unseen(t, settings.tentative_s, settings.tentative_updates)
        gone |= outage & (misses > 0)
        if gone.any():
            kept = np.flatnonzero(~gone)
            self._rows, self._beliefs = self._rows[kept], self._beliefs.take(kept)

    def _start_tracks(self, seen: _Seen, owner: Index, t: float) -> None:
        """Start tracks for detections from `new_score` on that match no track and duplicate no matched detection."""
        settings = self._settings
        free = np.flatnonzero((owner < 0) & (seen.scores >= settings.new_score))
        taken = np.flatnonzero(owner >= 0)
        if len(free) and len(taken):
            most = np.where(seen.sure[free], settings.duplicate_iou, settings.duplicate_iou_weak)
            free = free[iou(seen.boxes[free], seen.boxes[taken]).max(axis=1) <= most]
        if not len(free):
            return
        rows = np.zeros(len(free), _ROW)
        rows["id"] = np.arange(self._next_id, self._next_id + len(free))
        rows["score"], rows["first"], rows["last"], rows["hits"] = seen.scores[free], t, t, 1
        rows["sure"] = seen.sure[free]
        self._next_id += len(free)
        self._rows = np.concatenate((self._rows, rows))
        self._beliefs = self._beliefs.joined(born(seen.boxes[free], settings.motion))


class _Rounds:
    """The pairing over several rounds: a pair made in one round is kept."""

    def __init__(self, tracks: int, detections: int) -> None:
        self.owner: Index = np.full(detections, -1, np.intp)
        self._free = np.ones(tracks, np.bool_)

    def play(self, likeness: Array, tracks: NDArray[np.bool_], detections: NDArray[np.bool_], *, floor: float) -> None:
        rows = np.flatnonzero(tracks & self._free)
        columns = np.flatnonzero(detections & (self.owner < 0))
        if len(rows) and len(columns):
            rows, columns = pair(likeness, rows, columns, floor=floor)
            self.owner[columns] = rows
            self._free[rows] = False


def _checked(boxes: Floats, scores: Floats) -> tuple[Array, Array]:
    places, marks = np.asarray(boxes, np.float64), np.asarray(scores, np.float64)
    if marks.ndim != 1 or places.shape != (len(marks), 4):
        raise ValueError(f"boxes must be [N, 4] and scores [N], got {places.shape} and {marks.shape}")
    if not (np.isfinite(places).all() and np.isfinite(marks).all()):
        raise ValueError("boxes and scores must be finite")
    if (places[:, 2:] < places[:, :2]).any():
        raise ValueError("boxes must have x1 <= x2 and y1 <= y2")
    return places, marks
