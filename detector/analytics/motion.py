"""The motion gate: decides whether a frame is worth a run of the model.

A small grey picture (about 150 lines high, whatever the camera's resolution) is compared with a
background, a running mean over `_FOLLOW_S` of media time. Compared with the previous frame only, a
slow walker would hardly differ; compared with a fixed background, every change of the light would stay.
Permanent changes (a parked car, a person who stands still) fade into the background; periodic
re-checks find them then.

Time comes only from the frames, so a replay makes the same decisions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.config.schema import MotionSettings
from detector.config.value_types import Polygon
from detector.core.types import Box, Image, Pixels

_LINES = 144  # the small picture's height is this to twice this: a distant person still has some dozen pixels
_FOLLOW_S = 2.0  # time constant of the background: above a slow step's time, below a cloud's
_WHOLE = 0.6  # changed share from which on the light changed (lamp, exposure, IR filter) and not something in it
_JOIN = 7  # px of the small picture, odd, by which changed pixels may lie apart and be one thing: limbs, a thin figure
_SPECK = 6  # changed px of the small picture; fewer are noise
_SLACK_S = 1e-6  # media times are multiples of 1/fps with rounding: 10 steps of 0.1 s must make 1 s


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionDecision:
    """What one frame showed: `area` is the changed share of the picture, 0..1; `run` asks for the model."""

    moving: bool
    area: float
    run: bool


class MotionGate:
    """Decides for one camera, frame by frame; not thread-safe.

    `masks` are polygons, normalised 0..1, in which change is ignored.
    """

    def __init__(self, *, settings: MotionSettings, masks: Sequence[Polygon] = ()) -> None:
        self._settings = settings
        self._masks = tuple(masks)
        self._size: tuple[int, int] | None = None
        self._background: NDArray[np.float32] | None = None
        self._watched: Pixels | None = None  # without masks there is nothing to leave out
        self._change: Pixels | None = None
        self._now = -math.inf
        self._moved = -math.inf
        self._ran = -math.inf

    def assess(self, image: Image, t: float, *, people: bool) -> MotionDecision:
        """Assess the frame of time `t` (monotonic s); `people`: whether people are being tracked.

        `moving`: the changed share reaches `min_area`. `run`: something moved within `hold_s`, or a
        re-check is due, or the picture is the first of its size. With the gate disabled `run` is always
        true and nothing is measured. Raises ValueError if time runs backwards.
        """
        if not math.isfinite(t) or t < self._now:
            raise ValueError(f"time must be finite and not run backwards: {t} after {self._now}")
        if not self._settings.enabled:
            self._now = t
            return MotionDecision(moving=False, area=0.0, run=True)
        fresh = self._size != (image.width, image.height)
        area = self._start(image) if fresh else self._changed(image, t - self._now)
        self._now = t
        moving = not fresh and area >= self._settings.min_area
        if moving:
            self._moved = t
        run = fresh or self._held(t) or self._due(t, people=people)
        if run:
            self._ran = t
        return MotionDecision(moving=moving, area=area, run=run)

    def regions(self) -> tuple[Box, ...]:
        """Where the last frame changed: boxes in source px, largest change first; none if the whole picture changed."""
        if self._size is None or self._change is None:
            return ()
        height, width = self._change.shape
        return _boxes(self._change, (self._size[0] / width, self._size[1] / height))

    def _held(self, t: float) -> bool:
        return t - self._moved <= self._settings.hold_s + _SLACK_S

    def _due(self, t: float, *, people: bool) -> bool:
        period = self._settings.recheck_s if people else self._settings.idle_recheck_s
        return t - self._ran >= period - _SLACK_S

    def _start(self, image: Image) -> float:
        """Use the picture as the background; returns the changed share, 0."""
        small = _small(image)
        self._size = (image.width, image.height)
        self._background = small.astype(np.float32)
        self._watched = _watched(small.shape, self._masks) if self._masks else None
        self._change = None
        return 0.0

    def _changed(self, image: Image, step: float) -> float:
        """The share of the picture that differs from the background, which is then updated for `step` s."""
        assert self._background is not None
        small = _small(image)
        change = cv2.absdiff(small, cv2.convertScaleAbs(self._background))
        _, change = cv2.threshold(change, self._settings.threshold, 255, cv2.THRESH_BINARY)
        changed = watched = cv2.countNonZero(change)
        if self._watched is not None:
            change = cv2.bitwise_and(change, self._watched)
            watched = cv2.countNonZero(change)
        self._change = np.asarray(change, np.uint8)
        area = watched / change.size
        if changed >= _WHOLE * change.size:
            self._change = None
            self._background = small.astype(np.float32)  # counts once, then the new light is the background
        else:
            cv2.accumulateWeighted(small, self._background, 1.0 - math.exp(-step / _FOLLOW_S))
        return area


def _boxes(change: Pixels, scale: tuple[float, float]) -> tuple[Box, ...]:
    """The boxes of the things in `change` (uint8, 0 is background) times `scale`, largest first; specks are left out.

    A margin as wide as the dilation's reach keeps OpenCV from clipping a dilated thing's box at the picture's edge, so
    that it is larger than the thing's own by exactly that reach on every side.
    """
    reach = _JOIN // 2
    padded = cv2.copyMakeBorder(change, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
    joined = cv2.dilate(padded, np.ones((_JOIN, _JOIN), np.uint8))
    # 16-bit labels: 0.1 ms instead of 0.6, and far more than the small picture has room for.
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, ltype=cv2.CV_16U)
    changed = np.bincount(labels[padded > 0], minlength=count)
    found = []
    for key in range(1, count):
        if changed[key] >= _SPECK:
            # The margin's shift to the right and the reach to the left cancel out.
            left, top, width, height = (int(side) for side in stats[key, : cv2.CC_STAT_AREA])
            right, bottom = left + width - 2 * reach, top + height - 2 * reach
            box = (left * scale[0], top * scale[1], right * scale[0], bottom * scale[1])
            found.append((int(changed[key]), box))
    return tuple(box for _, box in sorted(found, key=lambda entry: (-entry[0], entry[1])))


def _small(image: Image) -> Pixels:
    """The luma plane, uint8, reduced by an integer factor to `_LINES` lines or more and smoothed against noise.

    Each small pixel is the mean of the four in the middle of its area: enough against noise, and far cheaper
    than reading the whole plane.
    """
    luma = image.luma()
    if min(luma.shape) < 2 * _LINES:
        return _smooth(np.ascontiguousarray(luma))
    half = min(luma.shape) // (2 * _LINES)
    height, width = luma.shape[0] // (2 * half), luma.shape[1] // (2 * half)
    luma = luma[: 2 * half * height, : 2 * half * width]
    if luma.strides[1] == 1:
        # Between pixels at an even factor, linear interpolation weighs just those four, all alike.
        return _smooth(_resized(luma, (width, height), cv2.INTER_LINEAR))
    # OpenCV would copy all of a plane whose pixels lie apart, as a colour picture's green ones do.
    middle = luma.reshape(height, 2 * half, width, 2 * half)[:, half - 1 : half + 1, :, half - 1 : half + 1]
    samples = np.ascontiguousarray(middle).reshape(2 * height, 2 * width)
    return _smooth(_resized(samples, (width, height), cv2.INTER_AREA))


def _resized(picture: Pixels, size: tuple[int, int], how: int) -> Pixels:
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def _smooth(picture: Pixels) -> Pixels:
    return np.asarray(cv2.blur(picture, (3, 3)), np.uint8)


def _watched(shape: tuple[int, ...], masks: Sequence[Polygon]) -> Pixels:
    """255 where change counts, 0 inside the masks; uint8 of the small picture's `shape`."""
    watched = np.full(shape, 255, np.uint8)
    size = np.array(shape[::-1], np.float64)
    for mask in masks:
        cv2.fillPoly(watched, [np.rint(np.array(mask) * size).astype(np.int32)], 0.0)
    return watched
