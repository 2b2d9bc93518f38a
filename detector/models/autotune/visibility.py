"""What each camera can see, tried on the pictures given for it: a person of its own pictures, made small and looked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from detector.analytics.crops import CropPlanner, detect_in_crops
from detector.analytics.pasted_person import Cutout, cut_out
from detector.analytics.visibility import Standing, Visibility, assess
from detector.capture.pictures import SUFFIXES, clip_pictures, folder_pictures, read_picture
from detector.config.schema import Camera
from detector.core.errors import ModelError
from detector.core.types import ArrayImage, Box, Detections, Frame, Image, Pixels
from detector.inference.input_sizes import InputSize
from detector.inference.multi_size import AnyDetector

log = logging.getLogger(__name__)

_PICTURES = 12  # of a camera, to find a person in
_LARGER = 1.5  # times the input's sides, whose gain is told too
_STRIDE = 32
_CROPS_PER_S = 4.0  # one crop for each picture: there is one thing in it to look at
Open = Callable[[InputSize | None], AnyDetector]
"""The model for pictures of any size, or in one input size; raises ModelError where it cannot have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraVisibility:
    """`visibility` with the input size that serves, in a picture `height` px tall; `larger` with another size.

    `larger` None: not tried. `cost` is the model's time with it, times the usual one.
    """

    visibility: Visibility
    height: int
    larger: Visibility | None = None
    size: InputSize | None = None
    cost: float | None = None

    def lines(self) -> list[str]:
        """What a user is told."""
        found = [self.visibility.in_words(self.height)]
        if self.larger is not None and self.larger.smallest is not None and self.size is not None:
            least = round(self.larger.smallest * self.height)
            times = f" at {self.cost:.1f} times the cost" if self.cost is not None else ""
            found.append(f"with an input of {self.size[0]}x{self.size[1]} from {least} px on{times}")
        return found


def visible(paths: Sequence[Path], camera: Camera, open_model: Open) -> CameraVisibility | None:
    """Try one camera; None where the pictures show nobody whom it could be tried with. Raises SourceError, ModelError."""
    with closing(open_model(None)) as detector:
        sample = _sample([image for path in paths for image in _some(path)], detector)
        if sample is None:
            return None
        pixels, person, standing = sample
        usual, ms = _assess(pixels, person, standing, camera, detector)
        width, height = detector.input_size
    larger = _rounded(width * _LARGER), _rounded(height * _LARGER)
    result = CameraVisibility(visibility=usual, height=pixels.shape[0])
    if larger[0] > pixels.shape[1] and larger[1] > pixels.shape[0]:
        return result  # there is no more detail than that
    try:
        with closing(open_model(larger)) as detector:
            better, more_ms = _assess(pixels, person, standing, camera, detector)
    except ModelError as error:
        log.info("no input of %dx%d was tried: %s", *larger, error)
        return result
    return replace(result, larger=better, size=larger, cost=more_ms / max(ms, 1e-9))


def _some(path: Path) -> Iterator[Image]:
    if path.is_dir():
        return folder_pictures(path, count=_PICTURES)
    if path.suffix.lower() in SUFFIXES:
        return iter([read_picture(path)])
    return iter(clip_pictures(path, count=_PICTURES))


def _sample(images: Sequence[Image], detector: AnyDetector) -> tuple[Pixels, Cutout, Standing] | None:
    """The picture with the fewest people, the best person of all, and how people stand."""
    seen = [(image, *detector.detect_image(image)[:2]) for image in images]
    sure = [(image, [box for box, score in zip(boxes.tolist(), scores, strict=True) if score >= 0.5]) for image, boxes, scores in seen]  # fmt: skip
    people = sorted(
        ((image, _box(box)) for image, boxes in sure for box in boxes), key=lambda one: one[1][1] - one[1][3]
    )
    cut = next((cutout for image, box in people if (cutout := cut_out(image.bgr(), box)) is not None), None)
    if cut is None:
        return None
    emptiest = min(sure, key=lambda one: len(one[1]))[0]
    shares = [(box[3] - box[1]) / image.height for image, box in people]
    feet = [box[3] / image.height for image, box in people]
    middles = [(box[0] + box[2]) / 2 / image.width for image, box in people]
    return emptiest.bgr(), cut, Standing(x=median(middles), foot=median(feet), height=median(shares))


def _assess(
    pixels: Pixels, person: Cutout, standing: Standing, camera: Camera, detector: AnyDetector
) -> tuple[Visibility, float]:
    """With the median ms of a run over a whole picture."""
    times: list[float] = []

    def detect(picture: Pixels, box: Box | None) -> tuple[list[Box], list[float]]:
        frame = Frame(camera="", seq=0, captured_mono=0.0, captured_wall=0.0, image=ArrayImage(picture))
        found = detector.detect(frame)
        times.append(found.infer_ms)
        if box is not None and camera.motion.enabled and camera.motion.crops_per_s:
            found = _enlarged(found, box, detector)
        return [_box(one) for one in found.boxes.tolist()], found.scores.tolist()

    result = assess(pixels, person, standing, detect, min_score=camera.alert.min_score)
    return result, median(times)


def _enlarged(found: Detections, box: Box, detector: AnyDetector) -> Detections:
    """As what moves in a camera's picture is looked at."""
    crops = CropPlanner(per_s=_CROPS_PER_S).plan(found, regions=[box], followed=[], size=detector.input_size)
    return detect_in_crops(found, crops, detector.detect_many)


def _box(sides: Sequence[float]) -> Box:
    x1, y1, x2, y2 = sides
    return x1, y1, x2, y2


def _rounded(length: float) -> int:
    return max(_STRIDE, round(length / _STRIDE) * _STRIDE)
