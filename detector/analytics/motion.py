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

from .view_change import HomeView, Shift, is_light, spread

_LINES = 144  # the small picture's height is this to twice this: a distant person still has some dozen pixels
_FOLLOW_S = 2.0  # time constant of the background: above a slow step's time, below a cloud's
_WHOLE = 0.5  # of the picture's cells: a change in so many is the light's (lamp, exposure, IR filter) or the camera's
_TURNED = 0.3  # of the cells: a change in so many may be that the camera turned
_ALONE_S = 0.5  # a change of the whole picture that comes alone has no other so shortly before
_FADED = 0.15  # of the cells: as light fades, the bright parts change first ...
_BRIGHTER = 3.0  # ... and the whole picture's mean, by so many grey levels
_MUCH = 0.02  # changed share from which on cells are counted at all, which takes time
_JOIN = 7  # px of the small picture, odd, by which changed pixels may lie apart and be one thing: limbs, a thin figure
_STRONG = 15.0  # grey levels: a change of so much is no noise by day
_LEAST = 6.0  # grey levels: compression alone changes pixels by less
_SIGMAS = 6.0  # of the noise: one pixel in 10^9 differs by more
_MEAN_TO_SIGMA = 1.25  # standard deviation of a normal distribution over its mean absolute value, sqrt(pi / 2)
_SPECK = 6  # changed px of the small picture; fewer are noise
_SLACK_S = 1e-6  # media times are multiples of 1/fps with rounding: 10 steps of 0.1 s must make 1 s


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionDecision:
    """What one frame showed: `area` is the changed share of the picture, 0..1; `run` asks for the model.

    `shift` is how far the camera's turn moved the whole picture since the last frame, px right and down.
    """

    moving: bool
    area: float
    run: bool
    shift: Shift = (0.0, 0.0)


class MotionGate:
    """Decides for one camera, frame by frame; not thread-safe.

    `masks` are polygons, normalised 0..1, in which change is ignored.
    """

    def __init__(self, *, settings: MotionSettings, masks: Sequence[Polygon] = ()) -> None:
        self._settings = settings
        self._masks = tuple(masks)
        self._size: tuple[int, int] | None = None
        self._background: NDArray[np.float32] | None = None
        self._previous: Pixels | None = None
        self._everywhere = self._global = False
        self._everywhere_mono = -math.inf
        self._strong = settings.threshold or _STRONG
        self._noise = _Noise()
        self._view = HomeView(threshold=self._strong)
        self._watched: Pixels | None = None  # without masks there is nothing to leave out
        self._change: Pixels | None = None
        self._weak: Pixels | None = None  # what changed less, but more than the noise does
        self._now = -math.inf
        self._moved = -math.inf
        self._ran = -math.inf

    def assess(self, image: Image, t: float, *, people: bool) -> MotionDecision:
        """Assess the frame of time `t` (monotonic s); `people`: whether people are being tracked.

        `moving`: the changed share reaches `min_area`, and not the picture as a whole changed. `run`: something
        changed within `hold_s`, or a re-check is due, or the picture is the first of its size. With the gate disabled
        `run` is always true and nothing is measured. Raises ValueError if time runs backwards.
        """
        if not math.isfinite(t) or t < self._now:
            raise ValueError(f"time must be finite and not run backwards: {t} after {self._now}")
        if not self._settings.enabled:
            self._now = t
            return MotionDecision(moving=False, area=0.0, run=True)
        fresh = self._size != (image.width, image.height)
        area = self._start(image) if fresh else self._changed(image, t - self._now)
        self._now = t
        changed = not fresh and area >= self._settings.min_area
        if changed or self._everywhere:
            self._moved = t  # also where the light changed: who turned it on may be in the picture
        run = fresh or self._held(t) or self._due(t, people=people)
        if run:
            self._ran = t
        return MotionDecision(moving=changed and not self._global, area=area, run=run, shift=self._shift())

    def use_masks(self, masks: Sequence[Polygon]) -> None:
        """From the next frame on change is ignored in these polygons, normalised 0..1, and in no others."""
        self._masks = tuple(masks)
        if self._previous is not None:
            self._watched = _watched(self._previous.shape, self._masks) if self._masks else None

    def regions(self) -> tuple[Box, ...]:
        """Where the last frame changed: boxes in source px, largest change first; none if the whole picture changed."""
        if self._size is None or self._change is None:
            return ()
        height, width = self._change.shape
        scale = (self._size[0] / width, self._size[1] / height)
        strong = _boxes(self._change, scale)
        if self._weak is None:
            return strong
        # Apart from each other: weak changes around strong ones join people who walk apart.
        return (*strong, *(box for box in _boxes(self._weak, scale) if not _meets(box, strong)))

    def _shift(self) -> Shift:
        """The last frame's shift in the source's px."""
        if self._size is None or self._previous is None:
            return 0.0, 0.0
        height, width = self._previous.shape
        return self._view.step[0] * self._size[0] / width, self._view.step[1] * self._size[1] / height

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
        self._change = self._weak = None
        self._noise = _Noise()
        self._previous, self._everywhere, self._global = small, False, False
        self._view.start(small)
        return 0.0

    def _changed(self, image: Image, step: float) -> float:
        """The share of the picture that differs from the background, which is then updated for `step` s."""
        assert self._background is not None
        small = _small(image)
        difference = np.asarray(cv2.absdiff(small, cv2.convertScaleAbs(self._background)), np.uint8)
        change = _beyond(difference, self._strong)
        counted = cv2.countNonZero(change)
        touched = spread(change) if counted >= _MUCH * change.size else 0.0
        self._weak = self._weakly_changed(difference, change, step)
        if self._watched is not None:
            change = np.asarray(cv2.bitwise_and(change, self._watched), np.uint8)
            counted = cv2.countNonZero(change)
        if self._weak is not None:
            counted = max(counted, cv2.countNonZero(self._weak))
        self._change = change
        self._everywhere = self._follow_view(small, touched, self._now + step)
        if self._everywhere:
            self._change = self._weak = None
            self._background = small.astype(np.float32)  # the new light or view is the background
        else:
            cv2.accumulateWeighted(small, self._background, 1.0 - math.exp(-step / _FOLLOW_S))
        return counted / change.size

    def _weakly_changed(self, difference: Pixels, strong: Pixels, step: float) -> Pixels | None:
        """Where the picture changed by more than its noise; None: the threshold is set, or so much did that it is light."""
        if self._settings.threshold is not None:
            return None
        threshold = min(self._strong, max(_LEAST, _SIGMAS * self._noise.sigma))
        self._noise.update(difference, strong, step)
        if threshold >= self._strong:
            return None
        weak = _beyond(difference, threshold)
        if cv2.countNonZero(weak) >= _MUCH * weak.size:
            return None
        return weak if self._watched is None else np.asarray(cv2.bitwise_and(weak, self._watched), np.uint8)

    def _is_light(self, small: Pixels, touched: float) -> bool:
        """Whether the light explains what changed; looked into only where much changed, or the brightness did."""
        assert self._background is not None
        brighter = touched >= _FADED and abs(cv2.mean(small)[0] - cv2.mean(self._background)[0]) >= _BRIGHTER
        if not brighter and touched < _TURNED:
            return False
        before = np.asarray(cv2.convertScaleAbs(self._background), np.uint8)
        return is_light(before, small, threshold=self._strong)

    def _follow_view(self, small: Pixels, touched: float, t: float) -> bool:
        """Whether the whole picture changed; `_global`: by a turn of the camera or by the light, not by what is in it.

        A change that is not all the light's, such as infrared's other greys, is one if it comes alone: something large
        that moves changes frame after frame.
        """
        assert self._background is not None
        turned = self._view.update(small, may_turn=touched >= _TURNED)
        self._previous = small
        light = not turned and self._is_light(small, touched)
        whole = touched >= _WHOLE and not turned
        self._global = turned or light or (whole and t - self._everywhere_mono > _ALONE_S)
        if whole:
            self._everywhere_mono = t
        return turned or light or whole


class _Noise:
    """The noise of the small picture in grey levels, from what differs from the background and is no motion."""

    def __init__(self) -> None:
        self.sigma = _STRONG / _SIGMAS  # until it is known

    def update(self, difference: Pixels, moving: Pixels, step: float) -> None:
        """Take a picture's difference from the background, `moving` (255) left out, `step` s after the last."""
        measured = _MEAN_TO_SIGMA * cv2.mean(difference, cv2.bitwise_not(moving))[0]
        self.sigma += (measured - self.sigma) * (1.0 - math.exp(-step / _FOLLOW_S))


def _beyond(difference: Pixels, threshold: float) -> Pixels:
    return np.asarray(cv2.threshold(difference, threshold, 255, cv2.THRESH_BINARY)[1], np.uint8)


def _meets(box: Box, others: Sequence[Box]) -> bool:
    return any(box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in others)


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
