"""What a camera can see now: a known person is pasted into its picture at several sizes and looked for.

Nothing here is tracked, and no rule sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from detector.core.geometry import iou
from detector.core.types import Box, Pixels

from .pasted_person import Cutout, PictureQuality, paste, quality

HEIGHTS = (0.9, 0.65, 0.47, 0.34, 0.24, 0.17, 0.12, 0.085, 0.06)
"""Shares of the picture's height, each about 0.7 of the one before."""
_SAME = 0.4  # overlap (IoU) from which on a box is the pasted person's
_FREE = 0.05  # overlap up to which a place is free of people who are really there
_MISSES = 2  # in a row, after which smaller ones are not tried
_BESIDE = (0.0, -0.25, 0.25, -0.4, 0.4)  # of the picture's width: where else the person may stand
_DARK, _FLAT, _BLURRED = 25.0, 9.0, 0.07  # brightness, contrast, sharpness below which a picture is so

Detect = Callable[[Pixels, Box | None], "tuple[Sequence[Box], Sequence[float]]"]
"""People in a picture, boxes px and scores; with a box, also enlarged around it, as what moves there would be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where people usually stand: the middle of their feet and their height, shares of the picture's sides."""

    x: float = 0.5
    foot: float = 0.9
    height: float = 0.34


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """Which people the camera sees now, by their height as a share of the picture's.

    `seen`: one of the `usual` height is found; `smallest`: the smallest that is, all larger ones too but for single
    misses; None: none. `reason`, in plain words, where `seen` is False.
    """

    seen: bool
    usual: float
    smallest: float | None
    reason: str | None = None

    def in_words(self, height: int) -> str:
        """What this camera sees, in a picture `height` px tall."""
        if self.smallest is None:
            return f"people of no size are found: {self.reason}"
        least, usual = (max(1, round(share * height)) for share in (self.smallest, self.usual))
        text = f"people from {least} px tall on are found, {self.smallest:.0%} of the picture's height"
        if self.seen:
            return f"{text}; there they are usually {usual} px tall"
        return f"{text}, but there they are usually {usual} px tall: {self.reason}"


def assess(pixels: Pixels, person: Cutout, standing: Standing, detect: Detect, *, min_score: float) -> Visibility:
    """Paste `person` into copies of the picture, BGR uint8, largest first, and look for them with `detect`."""
    now, there = quality(pixels), list(detect(pixels, None)[0])

    def finds(height: float) -> bool:
        made, box = _placed(pixels, person, standing, height, now, there)
        boxes, scores = detect(made, box)
        overlaps = iou(np.array(boxes, np.float64).reshape(-1, 4), np.array([box]))[:, 0]
        return bool((overlaps[np.array(scores, np.float64) >= min_score] >= _SAME).any())

    seen, smallest = finds(standing.height), None
    misses = 0
    for height in HEIGHTS:
        if misses >= _MISSES:
            break
        found = finds(height)
        misses = 0 if found else misses + 1
        smallest = height if found else smallest
    if seen:
        smallest = min(smallest or standing.height, standing.height)
    return Visibility(
        seen=seen, usual=standing.height, smallest=smallest, reason=None if seen else _reason(now, smallest)
    )


def _placed(
    pixels: Pixels, person: Cutout, standing: Standing, height: float, now: PictureQuality, there: Sequence[Box]
) -> tuple[Pixels, Box]:
    """The picture with the person where people stand, or beside it where nobody is now."""
    tall, wide = pixels.shape[:2]
    pasted = None
    for beside in _BESIDE:
        foot = (min(max(standing.x + beside, 0.05), 0.95) * wide, max(standing.foot, height) * tall)
        pasted = paste(pixels, person, foot, max(2, round(height * tall)), now)
        others = np.array(there, np.float64).reshape(-1, 4)
        if not (iou(others, np.array([pasted[1]])) > _FREE).any():
            break
    assert pasted is not None
    return pasted


def _reason(now: PictureQuality, smallest: float | None) -> str:
    if now.brightness < _DARK:
        return "the picture is dark"
    if now.contrast < _FLAT:
        return "the picture has almost no contrast: fog, a cover, or a dirty lens"
    if now.sharpness < _BLURRED:
        return "the picture is blurred"
    if smallest is not None:
        return "people are too small in the picture: too far away, or the picture is too small"
    return "the model finds nobody in it"
