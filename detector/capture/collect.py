"""Collects pictures of a camera to disk, for calibration and fine-tuning.

Time is divided into windows; each gives at most one picture, the one that differs most from all that were kept, and
none if nothing is new. In a still scene the threshold falls step by step, so that it is kept too, but more rarely.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from detector.config.schema import Camera
from detector.core.backoff import Backoff
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import SourceError
from detector.core.progress import Progress
from detector.core.types import Image

from .factory import make_source
from .image_diff import Grid, grid, max_difference
from .picture_folder import PictureStore
from .pictures import clip_frames
from .source import CapturedImage, Source, WaitingError

_LOOKS = 4  # frames compared per window: more would cost CPU and hardly differ
_NEW = 12.0  # grey levels by which the most changed cell must differ, as when a person moves
_SAME = 0.75  # below it two pictures are the same: sensor noise in cells of 36 px is less
_PATIENT = 3  # windows without anything new before the threshold is halved
_FROZEN = 40  # windows without any picture before it stops
_DARK = 4.0  # grey levels of standard deviation: a covered lens, no light
_GIVE_UP_S = 60.0  # an outage longer than this ends it; the same command continues later


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Numbers of pictures: in the set, new, too dark, too similar; `note`: why it ended early."""

    pictures: int
    new: int
    dark: int
    alike: int
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    image: Image
    at_s: float
    wall: float
    thumb: Grid
    difference: float


def gather(
    *,
    camera: Camera,
    store: PictureStore,
    count: int,
    every_s: float,
    report: Progress,
    clock: Clock = SYSTEM_CLOCK,
    stop: threading.Event | None = None,
) -> Gathered:
    """Add pictures of `camera` to `store` until it has `count`, at most one in `every_s` seconds.

    A file is read once, as fast as possible, on its own time. Raises SourceError if the camera gives nothing, only
    dark pictures or always the same one; StorageError from the store. Stored pictures are kept.
    """
    chosen = _Choice([grid(pixels) for pixels in store.pixels()])
    began, window_end = len(store), -math.inf
    note: str | None = None
    for at_s, image in _frames(camera, every_s / _LOOKS, clock, stop or threading.Event()):
        if at_s >= window_end:
            _keep(chosen, store, report, count)
            window_end = at_s + every_s
        if len(store) >= count:
            break
        chosen.assess(image, at_s=at_s, wall=clock.wall())
        if chosen.empty >= _FROZEN:
            raise SourceError(f"{_why_none(chosen)}; the set has {len(store)} pictures")
    else:
        _keep(chosen, store, report, count)
        if len(store) < count:
            note = f"the recording ended at {len(store)} of {count} pictures"
    if len(store) == began < count:
        raise SourceError(_why_none(chosen))
    return Gathered(pictures=len(store), new=len(store) - began, dark=chosen.dark, alike=chosen.alike, note=note)


class _Choice:
    """The frame of the current window that differs most from all that were kept."""

    def __init__(self, kept: list[Grid]) -> None:
        self._kept = kept
        self._best: _Candidate | None = None
        self.dark = self.alike = 0
        self.empty = 0  # windows in a row without a picture

    def assess(self, image: Image, *, at_s: float, wall: float) -> None:
        thumb = grid(image.bgr())
        if float(thumb.std()) < _DARK:
            self.dark += 1
            return
        apart = min((max_difference(thumb, other) for other in self._kept), default=255.0)
        if self._best is None or apart > self._best.difference:
            self._best = _Candidate(image=image, at_s=at_s, wall=wall, thumb=thumb, difference=apart)

    def take(self) -> _Candidate | None:
        """The window's picture if it is new enough; starts the next window."""
        best, self._best = self._best, None
        bar = max(_SAME, _NEW * 0.5 ** (self.empty // _PATIENT))
        if best is None or best.difference < bar:
            self.alike += best is not None
            self.empty += 1
            return None
        self.empty = 0
        self._kept.append(best.thumb)
        return best


def _keep(chosen: _Choice, store: PictureStore, report: Progress, count: int) -> None:
    if (best := chosen.take()) is not None:
        store.add(best.image, at_s=best.at_s, wall=best.wall, difference=best.difference)
    report(len(store), count, "gathering pictures")


def _why_none(chosen: _Choice) -> str:
    if chosen.dark > chosen.alike:
        return "the camera shows nothing but darkness or one colour: is its lens covered, is it night?"
    return "the camera shows always the same picture: is it frozen? Try another time of day, or a longer --every"


def _frames(camera: Camera, gap_s: float, clock: Clock, stop: threading.Event) -> Iterator[tuple[float, Image]]:
    """(seconds since the first picture, picture), at most one in `gap_s`; ends at the end of a recording.

    A camera is read without pauses, since its pictures would become older and older otherwise.
    """
    live = camera.kind != "file"
    due, origin = -math.inf, 0.0
    recorded = camera.source.get_secret_value().strip()
    for picture in _lasting(camera, clock, stop) if live else clip_frames(recorded):
        now = clock.mono() if picture.media_s is None or live else picture.media_s
        origin = now if due == -math.inf else origin
        if now >= due:
            due = now + gap_s
            yield now - origin, picture.image


def _lasting(camera: Camera, clock: Clock, stop: threading.Event) -> Iterator[CapturedImage]:
    """A camera's pictures, over outages; raises SourceError if it never answered or an outage is too long."""
    backoff, last = Backoff(), clock.mono()
    seen = False
    while not stop.is_set():
        source = make_source(camera, stop=stop)
        try:
            for picture in _connected(source, stop):
                backoff.reset()
                seen, last = True, clock.mono()
                yield picture
        except SourceError as error:
            if not seen or clock.mono() - last > _GIVE_UP_S:
                raise SourceError(
                    f"{error}; the pictures so far are kept, the same command continues the set"
                ) from None
            stop.wait(backoff.next())


def _connected(source: Source, stop: threading.Event) -> Iterator[CapturedImage]:
    try:
        source.open()
        while not stop.is_set():
            with contextlib.suppress(WaitingError):
                yield source.read()
    finally:
        source.close()
