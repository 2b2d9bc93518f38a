"""A camera's pictures with their times, from folders and clips, and what makes them unfit to teach with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.capture.picture_folder import MANIFEST
from detector.capture.pictures import SUFFIXES, clip_frames, picture_files, read_picture
from detector.core.errors import SourceError, UsageError
from detector.core.progress import Progress
from detector.core.sampling import SampleBuffer, spread
from detector.core.types import ArrayImage, Image

FEWEST = 100
MOST = 400
"""Pictures used, evenly spread: more take longer and teach little more of one scene."""

LONG_SIDE = 768  # px; the teachers' inputs are no larger
_FRAME_S = 0.1  # of a clip that has no times of its own
_STILL_S = 1.0  # assumed between pictures whose times tell nothing
_DARK = 70.0  # grey levels of a picture's mean, as where evidence of persons is weighed
_HOUR_S = 3600.0
_VIEW = (48, 36)  # px of the outlines that views are compared by
_SAME_VIEW = 0.25
_OTHERS = 0.1  # of the pictures: a camera that looks elsewhere for a moment is no other camera


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedPicture:
    """A picture, its long side at most LONG_SIDE px, and when it was taken: epoch seconds, or seconds of a clip on it.

    `scale` is how much of its file's size it has.
    """

    name: str
    image: ArrayImage
    at_s: float
    scale: float = 1.0

    @property
    def dark(self) -> bool:
        return float(np.mean(self.image.luma()[::8, ::8])) < _DARK


def camera_pictures(paths: Sequence[Path], *, camera: str, report: Progress) -> list[TimedPicture]:
    """The pictures of `paths` (folders, pictures, clips) in the order of time, at most MOST.

    A picture's time is that in capture-set's manifest, else the file's. Raises UsageError for pictures of another
    camera or of several views, and for fewer than FEWEST; SourceError for unreadable ones.
    """
    found: list[TimedPicture] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"--pictures {path}: no such file or folder")
        report(len(found), None, f"reading {path.name}")
        found += _stills(path, camera) if path.is_dir() or path.suffix.lower() in SUFFIXES else _clip(path)
    ordered = spread(sorted(found, key=lambda one: (one.at_s, one.name)), MOST)
    if len(ordered) < FEWEST:
        raise UsageError(
            f"{len(ordered)} pictures are too few to teach and judge with: at least {FEWEST} are needed "
            "(detector capture-set gathers them)"
        )
    _refuse_other_views(ordered, camera)
    return _spaced(ordered)


def one_hour(pictures: Sequence[TimedPicture]) -> bool:
    """Whether all pictures are of one hour."""
    return pictures[-1].at_s - pictures[0].at_s < _HOUR_S


def _stills(path: Path, camera: str) -> Iterator[TimedPicture]:
    folder = path if path.is_dir() else path.parent
    times = _manifest(folder, camera)
    try:
        files = picture_files(path) if path.is_dir() else [path]
    except SourceError as error:
        raise UsageError(f"--pictures: {error}") from None
    for file in spread(files, MOST):
        at_s = times.get(file.name, file.stat().st_mtime)
        stored = read_picture(file, as_stored=True)
        image = _shrunk(stored)
        yield TimedPicture(name=file.name, image=image, at_s=at_s, scale=image.width / stored.width)


def _manifest(folder: Path, camera: str) -> dict[str, float]:
    """When each picture of a set was taken; empty for a folder without a manifest."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        times = {
            str(one["file"]): datetime.fromisoformat(one["captured_at"]).timestamp() for one in document["pictures"]
        }
        of = str(document["camera"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is damaged or not ours: remove it, or name another folder") from None
    if of != camera:
        raise UsageError(f"{folder} holds pictures of camera {of}, not of {camera}: each camera has its own specialist")
    return times


def _clip(path: Path) -> Iterator[TimedPicture]:
    kept, begun = SampleBuffer[TimedPicture](MOST), path.stat().st_mtime
    for number, frame in enumerate(clip_frames(path)):
        if kept.due:
            at_s = number * _FRAME_S if frame.media_s is None else frame.media_s
            latest = TimedPicture(name=f"{path.name}:{number}", image=_shrunk(frame.image), at_s=begun + at_s)
        kept.put(latest)  # only counted where none is due
    yield from kept.spread()


def _shrunk(image: Image) -> ArrayImage:
    pixels = image.bgr()
    scale = min(1.0, LONG_SIDE / max(pixels.shape[:2]))
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return ArrayImage(
        np.array(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1.0 else pixels, np.uint8)
    )


def _spaced(pictures: Sequence[TimedPicture]) -> list[TimedPicture]:
    """Files that were copied at one moment keep their order, a second apart."""
    if pictures[-1].at_s - pictures[0].at_s >= 0.05 * len(pictures):
        return list(pictures)
    first = pictures[0].at_s
    return [replace(one, at_s=first + number * _STILL_S) for number, one in enumerate(pictures)]


def _refuse_other_views(pictures: Sequence[TimedPicture], camera: str) -> None:
    sizes = Counter((one.image.width, one.image.height) for one in pictures)
    size, count = sizes.most_common(1)[0]
    if count < len(pictures):
        other = next(one for one in pictures if (one.image.width, one.image.height) != size)
        raise UsageError(
            f"the pictures have {len(sizes)} sizes, so they are not all of camera {camera}: {other.name} is "
            f"{other.image.width}x{other.image.height}, most are {size[0]}x{size[1]}; leave the others out"
        )
    outlines = np.stack([_outline(one.image) for one in pictures])
    view = np.median(outlines, axis=0)
    apart = [one.name for one, outline in zip(pictures, outlines, strict=True) if _alike(outline, view) < _SAME_VIEW]
    if len(apart) > _OTHERS * len(pictures):
        raise UsageError(
            f"{len(apart)} of {len(pictures)} pictures show another view than the others, {apart[0]} first: give "
            f"those of camera {camera} alone, taken since it was last moved"
        )


def _outline(image: ArrayImage) -> NDArray[np.float32]:
    """How steep the picture is at each place, light or dark alike."""
    grey = cv2.resize(np.ascontiguousarray(image.luma()), _VIEW, interpolation=cv2.INTER_AREA).astype(np.float32)
    steep = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return np.asarray(np.sqrt(steep), np.float32)


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Correlation, -1 to 1."""
    first, second = one - one.mean(), other - other.mean()
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / size if size > 0.0 else 0.0
