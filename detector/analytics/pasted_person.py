"""A known person cut out of a picture, and pasted into another one as the camera would show them now.

What the camera does to its picture now it would do to a person too: darkness, fog and covers take contrast from the whole
picture, defocus takes its edges, sensor noise lies over everything. So the person is given the contrast, sharpness and
noise of the picture at hand, relative to the one that they were cut out of. For fog this is the model of Koschmieder
(1924): the light of everything is attenuated by the same factor, and the same light is added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from detector.core.types import Box, Floats, Pixels

USUAL_CONTRAST = 30.0
"""Grey levels: the contrast of a picture in good light, for people cut out of a picture of another camera."""
USUAL_SHARPNESS = 0.18
"""The sharpness of a picture in focus, for the same."""
_SMALL = (64, 36)  # contrast is measured at this size, which noise does not reach
_MEDIUM = (320, 180)  # sharpness at this one
_MARGIN = 0.15  # of the box's size: background around a person that is cut out too
_GRAB_ROUNDS = 3
_LEAST, _MOST = 0.15, 0.85  # share of the box that a person covers; else the separation has failed
_TINY = 16  # px
_VISIBLE_BLUR = 0.5  # px
_AS_SHARP = 0.6  # light and weather change the measure by as much
_MOST_BLUR = 20.0
_NOISE_GAIN = 20**0.5  # of the Laplacian's kernel: root of the sum of its squares


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureQuality:
    """What a camera does to its picture: `contrast` and `noise` in grey levels, `brightness` 0..255, `sharpness` > 0."""

    brightness: float
    contrast: float
    sharpness: float
    noise: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """A person: BGR uint8 [h, w, 3], `mask` uint8 [h, w] (255: person), the `background` that they stood before, grey level.

    `contrast` and `sharpness` are those of the whole picture, or usual ones where it is another camera's.
    """

    pixels: Pixels
    mask: Pixels
    background: float
    contrast: float
    sharpness: float


def quality(pixels: Pixels) -> PictureQuality:
    """Of a picture, BGR uint8."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, _SMALL, interpolation=cv2.INTER_AREA)
    medium = cv2.resize(grey, _MEDIUM, interpolation=cv2.INTER_AREA).astype(np.float32)
    contrast = float(small.std())
    edges = float(np.std(medium - cv2.GaussianBlur(medium, (0, 0), 2.0)))
    return PictureQuality(
        brightness=float(small.mean()),
        contrast=contrast,
        sharpness=edges / max(contrast, 1.0),
        # The median: most of a picture is smooth, so edges do not count (Immerkaer 1996, with a robust mean).
        noise=float(np.median(np.abs(cv2.Laplacian(grey, cv2.CV_32F))) / 0.6745 / _NOISE_GAIN),
    )


def cut_out(pixels: Pixels, box: Box, *, own: bool = True) -> Cutout | None:
    """The person in `box` (px) of a picture, BGR uint8; None where the box is too small. `own`: see `Cutout`."""
    height, width = pixels.shape[:2]
    dx, dy = (box[2] - box[0]) * _MARGIN, (box[3] - box[1]) * _MARGIN
    x1, y1 = max(0, round(box[0] - dx)), max(0, round(box[1] - dy))
    x2, y2 = min(width, round(box[2] + dx)), min(height, round(box[3] + dy))
    inner = (round(box[0]) - x1, round(box[1]) - y1, round(box[2] - box[0]), round(box[3] - box[1]))
    part = pixels[y1:y2, x1:x2]
    if min(part.shape[:2]) < _TINY or min(inner[2:]) < _TINY // 2:
        return None
    mask = _separated(part, inner)
    outside = part[mask == 0]
    ground = float(outside.mean() if len(outside) else part.mean())
    x, y, w, h = max(0, inner[0]), max(0, inner[1]), inner[2], inner[3]
    whole = quality(pixels)
    return Cutout(
        pixels=part[y : y + h, x : x + w].copy(),
        mask=mask[y : y + h, x : x + w].copy(),
        background=ground,
        contrast=whole.contrast if own else max(whole.contrast, USUAL_CONTRAST),
        sharpness=whole.sharpness if own else USUAL_SHARPNESS,
    )


def _separated(part: Pixels, inner: tuple[int, int, int, int]) -> Pixels:
    """255 where the person is: GrabCut (Rother et al., 2004), or an ellipse where that fails."""
    state = np.zeros(part.shape[:2], np.uint8)
    x, y, w, h = max(0, inner[0]), max(0, inner[1]), inner[2], inner[3]
    try:
        cv2.setRNGSeed(0)  # the same picture gives the same person
        cv2.grabCut(
            part, state, (x, y, w, h), np.zeros((1, 65)), np.zeros((1, 65)), _GRAB_ROUNDS, cv2.GC_INIT_WITH_RECT
        )
        person = np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD))
    except cv2.error:  # the box is the whole picture: there is no background to learn
        person = np.zeros(part.shape[:2], np.bool_)
    if _LEAST <= person[y : y + h, x : x + w].mean() <= _MOST:
        return np.where(person, 255, 0).astype(np.uint8)
    ellipse = np.zeros(part.shape[:2], np.uint8)
    cv2.ellipse(ellipse, (x + w // 2, y + h // 2), (max(w // 2, 1), max(h // 2, 1)), 0, 0, 360, 255, -1)
    return ellipse


def paste(
    pixels: Pixels, person: Cutout, foot: tuple[float, float], height: int, now: PictureQuality
) -> tuple[Pixels, Box]:
    """A copy of the picture with the person in it, as this camera would show them now, and their box in px.

    `foot` is the middle of their feet, px, `height` theirs, px; `now` the picture's `quality`.
    """
    width = max(2, round(height * person.pixels.shape[1] / person.pixels.shape[0]))
    x = min(max(0, round(foot[0] - width / 2)), pixels.shape[1] - width)
    y = min(max(0, round(foot[1] - height)), pixels.shape[0] - height)
    copy = pixels.copy()
    target = copy[y : y + height, x : x + width]
    shrinks = height < person.pixels.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    scaled = cv2.resize(person.pixels, (width, height), interpolation=how).astype(np.float32)
    mask = cv2.resize(person.mask, (width, height), interpolation=how).astype(np.float32) / 255.0
    shown = _degraded(scaled, person, float(target.mean()), now)
    blur = _blur_px(person, now) * pixels.shape[1] / _MEDIUM[0]
    if blur > _VISIBLE_BLUR:
        shown = np.asarray(cv2.GaussianBlur(shown, (0, 0), blur), np.float32)
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), blur), np.float32)
    noise = np.random.default_rng(0).normal(0.0, now.noise, (height, width, 1)).astype(np.float32)
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.6, height / 200))[:, :, None]
    mixed = target * (1.0 - soft) + (shown + noise) * soft
    target[:] = np.clip(np.round(mixed), 0, 255).astype(np.uint8)
    return copy, (float(x), float(y), float(x + width), float(y + height))


def _degraded(scaled: Floats, person: Cutout, ground: float, now: PictureQuality) -> Floats:
    """The person before the `ground` of the place, with what contrast the picture still has."""
    kept = min(1.0, now.contrast / max(person.contrast, 1.0))
    return np.asarray(ground + kept * (scaled - person.background), np.float32)


def _blur_px(person: Cutout, now: PictureQuality) -> float:
    """The standard deviation, px at the width of _MEDIUM, of what blurs the picture now and did not then.

    Gaussian blurs add up in squares, and sharpness falls with the width of edges, about 1 px when in focus.
    """
    if now.sharpness >= _AS_SHARP * person.sharpness:
        return 0.0
    return min(_MOST_BLUR, math.sqrt((person.sharpness / max(now.sharpness, 1e-3)) ** 2 - 1.0))
