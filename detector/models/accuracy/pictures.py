"""The pictures that an engine is judged by: a folder's, or the sample clip's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from detector.capture.factory import file_source
from detector.core.errors import EndOfStreamError, ModelError
from detector.core.types import ArrayImage, Image

COUNT = 32
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def folder_pictures(folder: Path, *, count: int = COUNT) -> Iterator[Image]:
    """At most `count` of the folder's pictures, evenly chosen by name; raises ModelError."""
    if not folder.is_dir():
        raise ModelError(f"no folder {folder} with pictures")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ModelError(f"no pictures ({', '.join(SUFFIXES)}) in {folder}")
    for path in paths[:: max(1, -(-len(paths) // count))]:
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            raise ModelError(f"{path} is not a readable picture")
        yield ArrayImage(np.asarray(pixels, np.uint8))


def clip_pictures(clip: Path, *, count: int = COUNT, every: int = 7) -> Iterator[Image]:
    """At most `count` of the clip's frames, one in `every`; raises SourceError."""
    source = file_source(clip)
    try:
        source.open()
        for index in range(count * every):
            image = source.read().image
            if index % every == 0:
                yield image
    except EndOfStreamError:
        return
    finally:
        source.close()


def built_in() -> Iterator[Image]:
    """Frames of the sample clip, fetched where it is not here yet; raises ModelError, SourceError."""
    from detector.models.registry import load_registry

    yield from clip_pictures(load_registry().fetch_clip("bikes"))
