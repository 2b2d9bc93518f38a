"""Recorded clips as boxes per frame, and trackers scored against identities that people marked.

What is scored (by the tests and by bench/tracking.py alike): of each frame the tracks that were matched
in it and are confirmed. Candidates of one hit and predictions of lost tracks are not claims that
somebody is there, and count for nothing. A hit is an overlap (IoU) of at least 0.5.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from detector.analytics.tracker import Tracker, TrackerSettings
from detector.core.types import ArrayImage, Box, Floats
from detector.inference.factory import load_detector

Identified = list[tuple[int, Box]]
Update = Callable[[Floats, Floats, float], Identified]
_MIN_IOU = 0.5
_VISIT_HITS, _VISIT_SCORE = 3, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredClip:
    """Per frame boxes [N, 4] px and scores [N]; `fps` of the recording."""

    boxes: list[Floats]
    scores: list[Floats]
    fps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """CLEAR MOT and identity measures of one run; shares, and counts."""

    mota: float
    idf1: float
    switches: int
    misses: int
    false_positives: int


def detect(video: Path, model: Path, *, every: int = 1, score_floor: float = 0.1) -> ScoredClip:
    """What the model at `model` sees in each `every`th frame of `video`."""
    finder = load_detector(path=model, name=model.stem, score_floor=score_floor)
    reader = cv2.VideoCapture(str(video))
    fps = reader.get(cv2.CAP_PROP_FPS) / every
    seen: list[tuple[Floats, Floats]] = []
    try:
        number = 0
        while reader.grab():
            if number % every == 0:
                _, picture = reader.retrieve()
                boxes, scores, _ = finder.detect_image(ArrayImage(np.asarray(picture, np.uint8)))
                seen.append((boxes, scores))
            number += 1
    finally:
        reader.release()
        finder.close()
    assert seen, f"no frames in {video}"
    return ScoredClip(boxes=[boxes for boxes, _ in seen], scores=[scores for _, scores in seen], fps=fps)


def our_update(settings: TrackerSettings | None = None) -> Update:
    """The project's tracker, giving what is scored."""
    tracker = Tracker(settings=settings)
    enough = tracker.settings.confirm_hits

    def update(boxes: Floats, scores: Floats, t: float) -> Identified:
        tracks = tracker.update(boxes, scores, t)
        return [(track.id, track.box) for track in tracks if track.matched and track.hits >= enough]

    return update


def follow(clip: ScoredClip, frames: Iterable[int], update: Update) -> dict[int, Identified]:
    """The identified boxes of each of `frames`, on media time."""
    return {f: update(clip.boxes[f], clip.scores[f], f / clip.fps) for f in frames}


def read_truth(path: Path) -> dict[int, Identified]:
    """Frame (from 0) to identities and boxes, from the columns frame0, id, x, y, w, h."""
    truth: dict[int, Identified] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            x, y, w, h = (float(row[key]) for key in ("x", "y", "w", "h"))
            truth.setdefault(int(row["frame0"]), []).append((int(row["id"]), (x, y, x + w, y + h)))
    return truth


def score(truth: dict[int, Identified], found: dict[int, Identified]) -> Score:
    """`found` against `truth` by py-motmetrics, over the frames of `found` alone.

    The distances are made here: motmetrics 1.4's own need NumPy 1.
    """
    import motmetrics

    events = motmetrics.MOTAccumulator()
    for frame, claims in sorted(found.items()):
        real = truth.get(frame, [])
        distances = _distances([box for _, box in real], [box for _, box in claims])
        events.update([key for key, _ in real], [key for key, _ in claims], distances, frameid=frame)
    names = ["mota", "idf1", "num_switches", "num_misses", "num_false_positives"]
    result = motmetrics.metrics.create().compute(events, metrics=names, name="run").iloc[0]
    mota, idf1, switches, misses, false_positives = (result[name] for name in names)
    return Score(
        mota=float(mota),
        idf1=float(idf1),
        switches=int(switches),
        misses=int(misses),
        false_positives=int(false_positives),
    )


def _distances(real: Sequence[Box], claims: Sequence[Box]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """1 - IoU [N, M], NaN where too far apart to be the same."""
    table = np.full((len(real), len(claims)), np.nan)
    for i, a in enumerate(real):
        for j, b in enumerate(claims):
            width = min(a[2], b[2]) - max(a[0], b[0])
            height = min(a[3], b[3]) - max(a[1], b[1])
            if width > 0 and height > 0:
                both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
                overlap = width * height / (both - width * height)
                table[i, j] = 1 - overlap if overlap >= _MIN_IOU else np.nan
    return table


def visits(
    clip: ScoredClip, frames: Iterable[int], settings: TrackerSettings | None = None
) -> list[tuple[float, float]]:
    """First and last sight, media s, of every track with at least 3 hits of score 0.5 or more; by id."""
    tracker = Tracker(settings=settings)
    sights: dict[int, list[float]] = {}
    good: dict[int, int] = {}
    for f in frames:
        for track in tracker.update(clip.boxes[f], clip.scores[f], f / clip.fps):
            if track.matched:
                sights.setdefault(track.id, []).append(track.last_mono)
                good[track.id] = good.get(track.id, 0) + (track.score >= _VISIT_SCORE)
    return [(times[0], times[-1]) for key, times in sorted(sights.items()) if good[key] >= _VISIT_HITS]


def true_visits(segments: Iterable[tuple[float, float]], *, joined_s: float = 1.0) -> list[tuple[float, float]]:
    """`segments` (s, in order), those less than `joined_s` apart made one: a flicker is not a leaving."""
    merged: list[tuple[float, float]] = []
    for begin, end in segments:
        if merged and begin - merged[-1][1] < joined_s:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((begin, end))
    return merged
