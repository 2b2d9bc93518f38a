"""Calibration pictures from a folder, a video or a camera; dark and similar ones are rejected and counted."""

from __future__ import annotations

import hashlib
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from detector.capture.factory import make_source
from detector.capture.pictures import clip_frames, picture_files, read_picture
from detector.capture.source import WAITING_S, read_patiently
from detector.core.clock import SYSTEM_CLOCK
from detector.core.errors import ModelError, SourceError, UsageError
from detector.core.progress import Progress, quiet
from detector.core.sampling import SampleBuffer, spread
from detector.core.types import ArrayImage, Image
from detector.models.graph.quantize import MIN_PICTURES

if TYPE_CHECKING:
    from detector.config.schema import Camera

COUNT = 48
"""More show little that is new, and each takes memory."""

GAP_S = 0.5
"""Between a live camera's pictures: nearer ones are nearly the same."""

_CHANGED = 1.0  # grey levels of 255, mean over a thumbnail: less is the same picture with noise
_THUMBNAIL = (32, 24)
_GATHERING = "gathering pictures"


def calibration_pictures(
    source: str, *, count: int = COUNT, gap_s: float = GAP_S, progress: Progress = quiet
) -> list[Image]:
    """At most `count` pictures of a folder, a video file or a camera's URL (any source that a config may name).

    A folder's and a video's are spread over the whole; a camera is watched until it has given `count` that differ,
    or for four times `gap_s` each. Raises ModelError with the counts where too few are readable or
    differ, SourceError from the camera, UsageError for what is no source.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        pictures = _folder(path, count, progress)
    elif path.is_file():
        pictures = _video(path, count, progress)
    else:
        pictures = _camera(source, count, gap_s, progress)
    return _different(pictures, source if path.exists() else "the camera")


def _folder(folder: Path, count: int, progress: Progress) -> list[Image]:
    paths = spread(picture_files(folder), count)
    found: list[Image] = []
    unreadable: list[Path] = []
    for number, path in enumerate(paths, start=1):
        try:
            found.append(read_picture(path))
        except SourceError:
            unreadable.append(path)
        progress(number, len(paths), _GATHERING)
    if unreadable:
        raise ModelError(
            f"{len(unreadable)} of {len(paths)} calibration pictures cannot be read, {unreadable[0]} first: "
            "remove or replace them"
        )
    return found


def _video(path: Path, count: int, progress: Progress) -> list[Image]:
    kept: SampleBuffer[Image | None] = SampleBuffer(count)
    for number, frame in enumerate(clip_frames(path), start=1):
        kept.put(ArrayImage(frame.image.bgr()) if kept.due else None)
        progress(min(number, count), count, _GATHERING)
    return [image for image in kept.spread() if image is not None]


def _camera(url: str, count: int, gap_s: float, progress: Progress) -> list[Image]:
    camera = _configured(url)
    found: list[Image] = []
    with closing(make_source(camera, stop=threading.Event())) as source:
        source.open()
        taken = first = None
        while len(found) < count:
            grab = read_patiently(source, patience_s=WAITING_S)
            now = _seconds(grab.media_s, grab.mono)
            first = now if first is None else first
            if taken is not None and now - taken < gap_s:
                continue
            taken = now
            image = ArrayImage(grab.image.bgr())
            if not found or _distance(image, found[-1]) >= _CHANGED:
                found.append(image)
                progress(len(found), count, _GATHERING)
            if now - first > 4 * gap_s * count:
                break
    return found


def _seconds(media_s: float | None, mono: float | None) -> float:
    """The stream's own time where it has one."""
    if media_s is not None:
        return media_s
    return SYSTEM_CLOCK.mono() if mono is None else mono


def _configured(url: str) -> Camera:
    from pydantic import ValidationError

    from detector.config.schema import Camera

    try:
        camera = Camera.model_validate({"source": url})
    except ValidationError as error:
        reason = error.errors(include_input=False, include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"--calibration is no folder, no video and no camera: {reason}") from None
    if camera.kind == "file":
        raise UsageError("--calibration names no folder and no video that is there")
    return camera


def _different(pictures: list[Image], where: str) -> list[Image]:
    """Those that differ from all before them; raises ModelError where too few do."""
    seen: set[bytes] = set()
    kept: list[Image] = []
    for picture in pictures:
        digest = hashlib.sha256(picture.bgr().tobytes()).digest()
        if digest not in seen:
            kept.append(picture)
        seen.add(digest)
    if len(kept) < MIN_PICTURES:
        raise ModelError(
            f"{len(pictures)} calibration pictures from {where}, {len(kept)} of them different: at least "
            f"{MIN_PICTURES} different ones are needed, best of the places that the cameras will see"
        )
    return kept


def _distance(first: Image, second: Image) -> float:
    small = [
        cv2.resize(image.luma(), _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
        for image in (first, second)
    ]
    return float(np.abs(small[0] - small[1]).mean()) if first.bgr().shape == second.bgr().shape else 255.0
