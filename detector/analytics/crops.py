"""Crops: small moving things are cut out of the picture, enlarged, and detected again.

A camera's picture is resized to the model's input, which leaves a few pixels of people far away. A window is cut where
something small moves that no detection in the whole picture explains, so small that the model's input enlarges a
standing person there to the height that the model sees best (slicing aided inference; Akyon et al., "Slicing Aided
Hyper Inference", ICIP 2022, with motion instead of a fixed grid).

Time comes only from the frames: windows and budget depend on nothing else, so a replay makes the same crops.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detector.core.geometry import areas, intersections, iou
from detector.core.types import ArrayImage, Box, Detections, Floats, Frame

from .statures import Statures
from .windows import MOST_ZOOM, CropBox, Targets, best_window, zoom_for

_GAIN = 1.25  # a window must show things at least this much larger than the whole picture does
_SMALL = 26.0  # px in the model's input: taller people are found without a crop
_SURE = 0.5  # score from which on a box explains what moves in it
_WIDER = 0.25  # of a box's size: motion leaves a trail around a person
_SLOWEST = 8.0  # crops that find nothing, e.g. of a tree in the wind, are made this many times more rarely
_FORGIVEN_S = 5.0  # without a crop, after which the full rate holds again
_RECENT_S = 1.0  # places cropped within this time come after the others
_EDGE = 3.0  # px: a box this near to the window's edge is cut off by it
_SAME_IOU, _SAME_PART = 0.5, 0.7  # overlap, or share of the smaller box, from which on two boxes are one person
_HELD_IOU = 0.3  # of one who is followed with a sure box: the whole picture shows him
_ASKED_PART = 0.3  # of the smaller box: motion leaves a trail, joins people, and limbs move more than bodies do
_ASKED_TALLER = 3.0  # times the target's height; taller is something that stands behind what moves
_KEPT = 2  # crops reserved for people just found: the frames right after that confirm a track
_FOLLOWED = 2.5  # more than motion can weigh: people found in crops only must not be lost
_CANDIDATES = 16

DetectMany = Callable[[Sequence[Frame]], Sequence[Detections | Exception]]
"""Runs the model on several frames, in one batch where that is faster; an exception in place of a failed result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A window of a frame: `frame` holds only its pixels; `targets` [N, 4] source px are why it was cut.

    The model's own resizing to its input is what enlarges it.
    """

    frame: Frame
    window: CropBox
    targets: NDArray[np.float64]


class CropPlanner:
    """Chooses one camera's windows, at most `per_s` per second, fewer while they find no people.

    Not thread-safe.
    """

    def __init__(self, *, per_s: float) -> None:
        self._per_s, self._at_once = per_s, max(1.0, per_s / 4)
        self._left, self._now = _KEPT + self._at_once, -math.inf
        self._fruitless = 0
        self._last = -math.inf
        self._recent: deque[tuple[float, CropBox]] = deque()
        self._statures = Statures()

    def learn(self, people: Sequence[Box], size: tuple[int, int]) -> None:
        """Take the boxes (px) of people who are certainly there, in a picture of `size` (width, height) px."""
        self._statures.learn(people, size)

    def shift(self, dx: float, dy: float) -> None:
        """The camera turned: the whole picture moved by (px), and the places of recent windows with it."""
        self._statures.shift(dy)
        x, y = round(dx), round(dy)
        self._recent = deque((t, (w[0] + x, w[1] + y, w[2] + x, w[3] + y)) for t, w in self._recent)

    def forget_view(self) -> None:
        """The camera looks elsewhere: what was learnt of its picture's geometry no longer holds."""
        self._statures.forget()

    def plan(
        self, found: Detections, *, regions: Sequence[Box], followed: Sequence[Box], size: tuple[int, int]
    ) -> tuple[Crop, ...]:
        """The crops worth a model run of input `size` (width, height) px, in addition to the whole picture's.

        `found` are the detections in the whole picture, `regions` where something moves, `followed` the boxes of
        the tracked people; all in source px.
        """
        frame = found.frame
        self._earn(frame.captured_mono)
        picture = (frame.image.width, frame.image.height)
        scale = min(size[0] / picture[0], size[1] / picture[1])
        if scale * _GAIN > MOST_ZOOM:
            return ()
        targets = self._targets(found, regions, followed, scale)
        known = targets.weights.max(initial=0.0) >= _FOLLOWED
        budget = int(min(self._at_once, self._left - (0 if known else _KEPT)) + 1e-6)
        windows: list[CropBox] = []
        left = np.ones(len(targets.boxes), np.bool_)
        while len(windows) < budget and left.any():
            window, inside = best_window(targets.take(left), size, picture)
            windows.append(window)
            left[np.flatnonzero(left)[inside]] = False
        self._left -= len(windows)
        self._fruitless = 0 if known else self._fruitless + len(windows)
        self._last = frame.captured_mono if windows else self._last
        self._recent.extend((frame.captured_mono, window) for window in windows)
        pixels = frame.image.bgr()
        cuts = [ArrayImage(pixels[y1:y2, x1:x2]) for x1, y1, x2, y2 in windows]
        return tuple(
            Crop(frame=replace(frame, image=cut), window=window, targets=targets.boxes)
            for cut, window in zip(cuts, windows, strict=True)
        )

    def _earn(self, t: float) -> None:
        """Bring the budget and the recent windows up to time `t` (monotonic s)."""
        if t - self._last > _FORGIVEN_S:
            self._fruitless = 0
        if math.isfinite(self._now):
            rate = self._per_s / min(_SLOWEST, 1.0 + self._fruitless / (2.0 * self._per_s))
            self._left = min(_KEPT + self._at_once, self._left + (t - self._now) * rate)
        self._now = t
        while self._recent and t - self._recent[0][0] > _RECENT_S:
            self._recent.popleft()

    def _targets(self, found: Detections, regions: Sequence[Box], followed: Sequence[Box], scale: float) -> Targets:
        """What needs a crop: small in the model's input (`scale` input px per source px), and not found in `found`."""
        sure = found.boxes[found.scores >= _SURE].astype(np.float64)
        known = iou(sure, np.array(followed, np.float64).reshape(-1, 4)).max(axis=0, initial=0.0)
        asked = [
            (box, box[3] - box[1], _FOLLOWED)
            for box, overlap in zip(followed, known, strict=True)
            if overlap <= _HELD_IOU
        ]
        asked += [(box, self._stature(box), 1.0) for box in regions if not _explained(sure, box)]
        asked = [(box, height, base) for box, height, base in asked if height * scale <= _SMALL][:_CANDIDATES]
        return Targets(
            boxes=np.array([box for box, _, _ in asked], np.float64).reshape(-1, 4),
            weights=np.array([base + self._waited(box) for box, _, base in asked], np.float64),
            zooms=np.array([zoom_for(height, least=scale * _GAIN) for _, height, _ in asked], np.float64),
        )

    def _stature(self, region: Box) -> float:
        """The height in px of a person who would move in `region`: of those seen there before, else the region's own."""
        return self._statures.at(region[3]) or region[3] - region[1]

    def _waited(self, box: Box) -> float:
        """Seconds since a window last contained the box's centre, at most _RECENT_S."""
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        seen = [t for t, (x1, y1, x2, y2) in self._recent if x1 <= x <= x2 and y1 <= y <= y2]
        return min(_RECENT_S, self._now - seen[-1]) if seen else _RECENT_S


def detect_in_crops(found: Detections, crops: Sequence[Crop], detect: DetectMany) -> Detections:
    """`found` in the whole picture, merged with what `detect` finds in the crops; raises the error of a failed crop."""
    for view, part in zip(crops, detect([view.frame for view in crops]) if crops else (), strict=True):
        if isinstance(part, Exception):
            raise part
        found = _joined(found, part, view)
    return found


def _joined(whole: Detections, part: Detections, view: Crop) -> Detections:
    """Both merged: of two boxes for the same person the one with the higher score stays.

    A crop's boxes count only with a high score, whole, and where a target is: enlarged, many a sign or bush looks
    like a person, but it does not move.
    """
    kept = _uncut(part.boxes, view.window, (whole.frame.image.width, whole.frame.image.height))
    kept &= part.scores >= _SURE
    placed = part.boxes[kept] + np.array(view.window[:2] * 2, np.float32)
    wanted = _asked(placed.astype(np.float64), view.targets)
    boxes = np.concatenate((whole.boxes, placed[wanted]))
    scores = np.concatenate((whole.scores, part.scores[kept][wanted]))
    of_part = np.arange(len(scores)) >= len(whole.scores)
    order = np.argsort(-scores, kind="stable")
    boxes, scores, of_part = boxes[order], scores[order], of_part[order]
    # Large overlap, or one mostly within the other.
    exact = boxes.astype(np.float64)
    same = (iou(exact, exact) > _SAME_IOU) | (_shared(exact, exact) > _SAME_PART)
    same &= of_part[:, None] != of_part[None, :]
    stays = np.ones(len(scores), np.bool_)
    for index in range(1, len(scores)):
        stays[index] = not (same[index, :index] & stays[:index]).any()
    return replace(whole, boxes=boxes[stays], scores=scores[stays], infer_ms=whole.infer_ms + part.infer_ms)


def _asked(boxes: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which boxes are where one of the targets is, and no thing far taller than it [N]."""
    tall = (boxes[:, 3] - boxes[:, 1])[:, None] > _ASKED_TALLER * (targets[:, 3] - targets[:, 1])[None, :]
    return np.asarray(((_shared(boxes, targets) > _ASKED_PART) & ~tall).any(axis=1), np.bool_)


def _uncut(boxes: Floats, window: CropBox, picture: tuple[int, int]) -> NDArray[np.bool_]:
    """Which boxes (px of the window) are not cut off by an edge of the window inside the picture [N]."""
    x1, y1, x2, y2 = window
    fine: NDArray[np.bool_] = np.ones(len(boxes), np.bool_)
    for corner, inner in enumerate((x1 > 0, y1 > 0)):
        fine &= (boxes[:, corner] > _EDGE) | (not inner)
    for corner, (length, inner) in enumerate(((x2 - x1, x2 < picture[0]), (y2 - y1, y2 < picture[1]))):
        fine &= (boxes[:, corner + 2] < length - _EDGE) | (not inner)
    return fine


def _shared(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The intersection over the smaller one's area [N, M]."""
    smaller = np.minimum(areas(a)[:, None], areas(b)[None, :])
    return np.asarray(intersections(a, b) / np.maximum(smaller, 1e-9), np.float64)


def _explained(boxes: NDArray[np.float64], box: Box) -> bool:
    """Whether the moving `box` lies mostly in one of `boxes` or close around it."""
    if not len(boxes):
        return False
    margin = (boxes[:, 2:] - boxes[:, :2]) * _WIDER
    wider = np.concatenate((boxes[:, :2] - margin, boxes[:, 2:] + margin), axis=1)
    return bool(_shared(wider, np.array([box])).max() > 0.5)
