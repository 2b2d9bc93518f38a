"""Pictures of alerts, developed beside the disk: a JPEG takes as long as writing the alert down.

The dispatcher needs both before the alert may leave. Whoever comes first makes the picture, the other
waits for it or finds it made: so nothing depends on the darkroom's thread being there. What is told is made first,
and no larger than asked for; the picture in its full size, for the history, is made when it is kept.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from detector.core.types import ArrayImage, Box, Frame

log = logging.getLogger(__name__)

EncodeSnapshot = Callable[[Frame, Box, float, "int | None"], "bytes | None"]
"""The frame as JPEG with the person's box and score drawn, at most so many px wide; None where the picture is lost."""
TOLD_WIDTH = 960
"""px. Of 1080p half of each side: a JPEG in 2 ms where the whole takes 6, and a third of its bytes."""
_LOOK_S = 0.5  # how long a stop may go unnoticed
_WAITING = 4  # each holds a frame; with more, the dispatcher is late anyway and makes its own


class LazyJpeg:
    """A JPEG that is made once, by the first who asks."""

    __slots__ = ("_jpeg", "_lock", "_make")

    def __init__(self, make: Callable[[], bytes | None]) -> None:
        self._make: Callable[[], bytes | None] | None = make
        self._jpeg: bytes | None = None
        self._lock = threading.Lock()

    def get(self) -> bytes | None:
        """The JPEG, or None where it is lost; raises what making it raised, and may be asked again."""
        with self._lock:
            if self._make is not None:
                self._jpeg = self._make()
                self._make = None  # lets go of the frame
            return self._jpeg


@dataclass(frozen=True, slots=True)
class FrameJpegs:
    """One frame's prints: what subscribers are told, and what the history keeps; the same where the frame is small."""

    preview: LazyJpeg
    full: LazyJpeg


class SnapshotEncoder:
    """`begin` and `picture` from any thread; `run` in one, or in none. `told_width` px, 0: as wide as the frame."""

    def __init__(self, *, encode: EncodeSnapshot, told_width: int = TOLD_WIDTH) -> None:
        self._encode, self._told_width = encode, told_width
        self._begun: queue.Queue[LazyJpeg] = queue.Queue(_WAITING)

    def picture(self, frame: Frame, box: Box, score: float) -> FrameJpegs:
        """A picture whose prints are made when asked for."""
        kept = LazyJpeg(partial(self._encode, frame, box, score, None))
        if not 0 < self._told_width < frame.image.width:
            return FrameJpegs(kept, kept)
        return FrameJpegs(LazyJpeg(partial(self._encode, frame, box, score, self._told_width)), kept)

    def begin(self, frame: Frame, box: Box, score: float) -> FrameJpegs:
        """A picture of which what is told will be made soon; returns at once."""
        picture = self.picture(frame, box, score)
        try:
            self._begun.put_nowait(picture.preview)
        except queue.Full:
            log.debug("many pictures at once: the dispatcher makes its own")
        return picture

    def run(self, stop: threading.Event) -> None:
        self._warm_up()
        while not stop.is_set():
            try:
                told = self._begun.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            self._make(told)
            del told  # it would be held, with its bytes, until the next one

    def _warm_up(self) -> None:
        """The first label loads a font, some 70 ms: not while somebody waits for the first alert."""
        nothing = ArrayImage(np.zeros((72, 128, 3), np.uint8))
        frame = Frame(camera="", seq=0, captured_mono=0.0, captured_wall=0.0, image=nothing)
        self._make(LazyJpeg(partial(self._encode, frame, (8.0, 40.0, 32.0, 64.0), 0.0, None)))

    def _make(self, print_: LazyJpeg) -> None:
        try:
            print_.get()
        except Exception as error:
            log.debug("a picture could not be made: %s", error)  # who needs it will try, and tell
