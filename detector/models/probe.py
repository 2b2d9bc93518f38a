"""A model is shown a picture with a known person and two without anybody before it may serve.

The picture is a frame of the sample clip where the cache has it; nothing is fetched here, and without it nothing is
judged. The result is kept by what was loaded, so that only the first load of a model pays for it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from detector.capture.pictures import clip_pictures
from detector.core.errors import InferenceError, ModelError, SourceError
from detector.core.files import PUBLIC, cache_dir, write_atomically
from detector.core.types import ArrayImage, Floats, Image, Pixels
from detector.inference.multi_size import AnyDetector

from .registry import load_registry

log = logging.getLogger(__name__)

VERSION = 1
"""Of the pictures and the rules: raised whenever one of them changes."""

_CLIP, _FRAME = "bikes", 28
_PERSON = (203.0, 0.0, 395.0, 250.0)
"""Where the frame shows its person, px of 640x272: five models of three families agree within 10 px."""
_IOU = 0.3
_SURE = 0.5  # a weak model may be unsure of the person, but not sure of one in an empty picture
_GREY = 114


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """`persons` of `known` seen in the picture with somebody; `empty`: seen where nobody is.

    `best` is the score of the known person, `ghost` the best score where nobody is; `ms` is what all of it took.
    """

    persons: int
    known: int
    best: float
    empty: int
    ghost: float
    ms: float

    @property
    def words(self) -> str:
        """What was seen, in a few words."""
        return f"sees {self.persons} of {self.known} persons"


NOT_PROBED = "not tried on a person: the sample clip is not in the cache (detector demo fetches it)"


def probed(detector: AnyDetector, *, clip: Callable[[], Path | None] | None = None) -> ProbeResult | None:
    """What `detector` sees, from the cache or looked at now; raises ModelError where it cannot be trusted.

    None without the clip: then it is not judged.

    `clip` gives the sample clip's file, None where it is missing.
    """
    kept = _place(detector)
    result = _read(kept)
    if result is None:
        picture = _person_picture(clip or _cached_clip, detector.input_size)
        if picture is None:
            log.info("%s: %s", detector.model_name, NOT_PROBED)
            return None
        result = _probe(detector, *picture)
        _write(kept, result)
    _judge(detector, result)
    return result


def _judge(detector: AnyDetector, result: ProbeResult) -> None:
    way = "check model.input and model.output (detector models inspect), or set model.probe: false for a special model"
    if result.empty:
        raise ModelError(
            f"{detector.model_name} sees {result.empty} persons (score {result.ghost:.2f}) in a picture of grey or "
            f"noise: {way}"
        )
    if result.persons == 0:
        raise ModelError(f"{detector.model_name} sees nobody in a picture of a person: {way}")


def _probe(detector: AnyDetector, image: Image, person: Floats) -> ProbeResult:
    begun = time.perf_counter()
    try:
        persons, best = _count(detector, image, person)
        empty, ghost = 0, 0.0
        for nobody in _empty_pictures(detector.input_size):
            _, scores, _ = detector.detect_image(nobody)
            empty = max(empty, int((scores >= _SURE).sum()))
            ghost = max(ghost, float(scores.max(initial=0.0)))
    except InferenceError as error:
        raise ModelError(f"{detector.model_name} cannot be used: {error}") from None
    ms = (time.perf_counter() - begun) * 1e3
    log.info("%s was shown pictures with and without a person: %.0f ms", detector.model_name, ms)
    return ProbeResult(persons=persons, known=1, best=best, empty=empty, ghost=ghost, ms=round(ms, 1))


def _count(detector: AnyDetector, image: Image, person: Floats) -> tuple[int, float]:
    """1 and the score where the known person is found, else 0."""
    boxes, scores, _ = detector.detect_image(image)
    if not len(boxes):
        return 0, 0.0
    low, high = np.maximum(boxes[:, :2], person[:2]), np.minimum(boxes[:, 2:], person[2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=1)
    both = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(person[2:] - person[:2]) - shared
    found = scores[shared / both >= _IOU]
    return (1, float(found.max())) if found.size else (0, 0.0)


def _person_picture(clip: Callable[[], Path | None], size: tuple[int, int]) -> tuple[Image, Floats] | None:
    """The known frame on a grey canvas of the model's own size, and the person's box there."""
    path = clip()
    if path is None:
        return None
    try:
        frame = next(itertools.islice(clip_pictures(path), _FRAME, None)).bgr()
    except (SourceError, StopIteration) as error:
        log.warning("the sample clip cannot be read, so no person is shown: %s", error)
        return None
    height, width = frame.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    fitted = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = np.full((size[1], size[0], 3), _GREY, np.uint8)
    canvas[: fitted[1], : fitted[0]] = cv2.resize(frame, fitted, interpolation=cv2.INTER_AREA)
    return ArrayImage(canvas), np.array(_PERSON, np.float32) * np.float32(scale)


def _empty_pictures(size: tuple[int, int]) -> list[Image]:
    grey = np.full((size[1], size[0], 3), _GREY, np.uint8)
    noise: Pixels = np.random.default_rng(3).integers(0, 256, grey.shape, np.uint8)
    return [ArrayImage(grey), ArrayImage(noise)]


def _cached_clip() -> Path | None:
    return load_registry().clip_here(_CLIP)


def _place(detector: AnyDetector) -> Path:
    parts = (VERSION, detector.engine_key, detector.input_size, detector.spec, detector.layout)
    return cache_dir() / "probes" / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}.json"


def _read(path: Path) -> ProbeResult | None:
    try:
        return ProbeResult(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, result: ProbeResult) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(asdict(result)) + "\n", mode=PUBLIC)
    except OSError as error:
        log.info("what the model was seen to do cannot be kept in %s: %s", path.parent, error.strerror)
