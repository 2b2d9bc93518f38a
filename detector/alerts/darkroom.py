"""Pictures of alerts, developed beside the disk: a JPEG takes as long as writing the alert down.

The dispatcher needs both before the alert may leave. Whoever comes first makes the picture, the other
waits for it or finds it made: so nothing depends on the darkroom's thread being there.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from functools import partial

from detector.types import Box, Frame

log = logging.getLogger(__name__)

EncodeSnapshot = Callable[[Frame, Box, float], "bytes | None"]
"""The frame as JPEG with the person's box and score drawn; None where the picture is lost."""
_LOOK_S = 0.5  # how long a stop may go unnoticed
_WAITING = 4  # each holds a frame; with more, the dispatcher is late anyway and makes its own


class Picture:
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


class Darkroom:
    """`begin` from any thread; `run` in one, or in none."""

    def __init__(self, *, encode: EncodeSnapshot) -> None:
        self._encode = encode
        self._begun: queue.Queue[Picture] = queue.Queue(_WAITING)

    def begin(self, frame: Frame, box: Box, score: float) -> Picture:
        """A picture that will be made soon, or when asked for; returns at once."""
        picture = Picture(partial(self._encode, frame, box, score))
        try:
            self._begun.put_nowait(picture)
        except queue.Full:
            log.debug("many pictures at once: the dispatcher makes its own")
        return picture

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                picture = self._begun.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            try:
                picture.get()
            except Exception as error:
                log.debug("a picture could not be made: %s", error)  # who needs it will try, and tell
            del picture  # it would be held, with its bytes, until the next one
