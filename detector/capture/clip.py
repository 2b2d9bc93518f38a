"""A recorded clip on media time: the frames that the live loop would have processed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from detector.core.errors import EndOfStreamError, SourceError
from detector.core.progress import Progress
from detector.core.types import Frame

from .latest_frames import LatestFrames
from .source import CapturedImage


class ClipSource(Protocol):
    """An open source; the caller closes it."""

    def read(self) -> CapturedImage: ...


class _MediaClock:
    """A clock at the time of the newest frame."""

    def __init__(self) -> None:
        self.now = 0.0

    def mono(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


def due_frames(
    camera: str,
    detect_fps: float,
    source: ClipSource,
    progress: Progress | None,
    *,
    factor: Callable[[], float] = lambda: 1.0,
) -> Iterator[Frame]:
    """The frames that LatestFrames would give to an inference loop that is never busy, in order.

    `factor`, asked after each frame, says how many times `detect_fps` is the rate now. Times are media seconds from 0; raises SourceError for a source without time stamps.
    """
    clock = _MediaClock()
    slots = LatestFrames(clock=clock)
    slots.add(camera, detect_fps)
    for frame in _frames(camera, source):
        clock.now = frame.captured_mono
        slots.hurry(camera, factor())
        if held := slots.take(0.0):
            yield held  # was early, and no other frame came in time
            slots.hurry(camera, factor())
        slots.put(frame)
        if due := slots.take(0.0):
            yield due
        if progress:
            progress(frame.seq + 1, None, f"replaying {clock.now:.0f} s")
    clock.now += 2.0 / detect_fps  # longer than any frame is held
    if held := slots.take(0.0):
        yield held


def _frames(camera: str, source: ClipSource) -> Iterator[Frame]:
    seq = 0
    while True:
        try:
            picture = source.read()
        except EndOfStreamError:
            return
        if picture.media_s is None:
            raise SourceError("the source has no time stamps: only a recorded clip can be replayed")
        yield Frame(
            camera=camera, seq=seq, captured_mono=picture.media_s, captured_wall=picture.media_s, image=picture.image
        )
        seq += 1
