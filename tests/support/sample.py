"""The default model and the sample clip, fetched once as a user's are, and pictures made of the clip."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.capture.pictures import clip_pictures
from detector.core.errors import ModelError
from detector.core.types import ArrayImage, Pixels
from detector.models.registry import load_registry

CACHE = os.environ.get("DETECTOR_CACHE")  # the user's own, whatever a test sets
# Frames of the clip in which the default model is at least 0.75 sure of the cyclist, and such without anybody.
WITH_PERSON = (30, 35, 40, 105, 110, 115, 120, 125, 130, 135, 190, 195, 200, 205)
WITHOUT_PERSON = (50, 60, 150, 170, 230)
PICTURES = 64


@functools.cache
def fetched(name: str) -> Path:
    """A model's or clip's file; skips the test where it cannot be had."""
    registry = load_registry()
    with pytest.MonkeyPatch.context() as patch:
        if CACHE is None:
            patch.delenv("DETECTOR_CACHE", raising=False)
        else:
            patch.setenv("DETECTOR_CACHE", CACHE)
        try:
            return registry.fetch_clip(name) if name in registry.clips() else registry.fetch(name)
        except ModelError as error:
            pytest.skip(f"needs {name}, which cannot be fetched here: {error}")


def model() -> Path:
    return fetched("yolox-tiny-person")


def clip() -> Path:
    """Ten seconds of a street, 640 x 272 px; a cyclist comes, goes, and comes again."""
    return fetched("bikes")


def frames(numbers: Sequence[int]) -> list[Pixels]:
    """BGR pictures of the clip by frame number."""
    wanted = set(numbers)
    every = enumerate(clip_pictures(clip(), count=max(wanted) + 1, every=1))
    found = {number: image.bgr() for number, image in every if number in wanted}
    return [found[number] for number in numbers]


def pairs() -> list[Pixels]:
    """`PICTURES` different pictures of 640 x 544 px, two frames one above the other: two persons in each."""
    single = frames(WITH_PERSON)
    count = len(single)
    chosen = [(k % count, (k + 1 + k // count) % count) for k in range(PICTURES)]
    return [np.vstack([single[upper], single[lower]]) for upper, lower in chosen]


def write(pictures: Sequence[Pixels], folder: Path) -> Path:
    """The pictures as files in `folder`, in their order by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        assert cv2.imwrite(str(folder / f"{number:03}.png"), picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return folder


def image(path: Path) -> ArrayImage:
    pixels = cv2.imread(str(path))
    assert pixels is not None, path
    return ArrayImage(np.asarray(pixels, np.uint8))
