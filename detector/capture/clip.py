"""A recorded clip on media time: the frames that the live loop would have processed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from detector.core.errors import EndOfStreamError, SourceError
from detector.core.progress import Progress
from detector.core.types import Frame

from .latest_frames import LatestFrames
from .source import CapturedImage


class ClipSource(Protocol):
    """What `replay` needs of a source that is open already; the caller closes it."""

    def read(self) -> CapturedImage: ...


class _MediaClock:
    """Stands where the newest frame stands."""

    def __init__(self) -> None:
        self.now = 0.0

    def mono(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


def due_frames(camera: str, detect_fps: float, source: ClipSource, progress: Progress | None) -> Iterator[Frame]:
    """The frames that the live slot would hand out to a worker that always has time."""
    clock = _MediaClock()
    slots = LatestFrames(clock=clock)
    slots.add(camera, detect_fps)
    for frame in _frames(camera, source):
        clock.now = frame.captured_mono
        if held := slots.take(0.0):
            yield held  # came too early for its turn, and no other came in time
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
            grab = source.read()
        except EndOfStreamError:
            return
        if grab.media_s is None:
            raise SourceError("the source has no time stamps: only a recorded clip can be replayed")
        yield Frame(camera=camera, seq=seq, captured_mono=grab.media_s, captured_wall=grab.media_s, image=grab.image)
        seq += 1
