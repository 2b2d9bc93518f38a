"""Pictures on disk: a file's, a folder's, a clip's frames, and a hash over them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from detector.core.errors import EndOfStreamError, SourceError
from detector.core.types import ArrayImage, Image

from .factory import file_source
from .source import CapturedImage

COUNT = 32
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def read_picture(path: Path, *, as_stored: bool = False) -> ArrayImage:
    """The picture, turned as its orientation tag says unless `as_stored`; raises SourceError.

    Annotations are in the stored pixels.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise SourceError(f"cannot read the picture {path}: {error.strerror}") from None
    flags = cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if as_stored else 0)
    pixels = cv2.imdecode(data, flags) if data.size else None
    if pixels is None:
        raise SourceError(f"{path} is not a picture that can be read: is it damaged?")
    return ArrayImage(np.asarray(pixels, np.uint8))


def picture_files(folder: Path) -> list[Path]:
    """The folder's pictures by name; raises SourceError where there are none."""
    if not folder.is_dir():
        raise SourceError(f"no folder {folder} with pictures")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise SourceError(f"no pictures ({', '.join(SUFFIXES)}) in {folder}")
    return paths


def folder_pictures(folder: Path, *, count: int = COUNT) -> Iterator[Image]:
    """At most `count` of the folder's pictures, evenly chosen by name; raises SourceError."""
    paths = picture_files(folder)
    for path in paths[:: -(-len(paths) // count)]:
        yield read_picture(path)


def clip_frames(clip: str | Path, *, loop: bool = False) -> Iterator[CapturedImage]:
    """The clip's frames as fast as they can be read, from the start again with `loop`; raises SourceError."""
    with closing(file_source(clip, loop=loop)) as source:
        source.open()
        while True:
            try:
                frame = source.read()
            except EndOfStreamError:
                return
            yield frame


def clip_pictures(clip: Path, *, count: int = COUNT, every: int = 7) -> Iterator[Image]:
    """At most `count` of the clip's frames, one in `every`; raises SourceError."""
    for index, frame in zip(range(count * every), clip_frames(clip), strict=False):
        if index % every == 0:
            yield frame.image


def fingerprint(pictures: Iterable[Image]) -> str:
    """sha256 over all the pictures' shapes and pixels, hex: what a result was made with."""
    found = hashlib.sha256()
    for picture in pictures:
        pixels = picture.bgr()
        found.update(repr(pixels.shape).encode())
        found.update(pixels.tobytes())
    return found.hexdigest()
