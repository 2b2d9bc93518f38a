"""Cuts each alert's clip out of its camera's ring of coded pictures, in a thread of its own.

Pictures go to the disk while they come, so memory stays within the ring's bound however long a clip gets. Alerts that
come while their camera's clip is being written extend it and share it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from detector.capture.recording.mp4 import Mp4Writer
from detector.capture.recording.ring import PacketRing
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import StorageError

from .folder import ClipFolder

log = logging.getLogger(__name__)

MAX_S = 300.0
"""The longest that alerts extend a clip to, s; the next alert begins another."""
PRUNE_S = 3600.0
_LOOK_S = 0.25  # how long a stop may go unnoticed
_STEP_S = 0.5  # between two looks at the rings: each takes a few ms for all the pictures that came meanwhile
_GRACE_S = 5.0  # a camera that gives nothing this long after the clip's end gives no more
_MAX_WAITING = 100
_MAX_OPEN = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRequest:
    """An alert's clip: from `begin_mono` to `end_mono`, monotonic s."""

    event_id: str
    camera: str
    begin_mono: float
    end_mono: float


class Rings(Protocol):
    """Where the cameras' coded pictures are."""

    def ring(self, camera: str) -> PacketRing | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipStats:
    """Since the start. `failed`: clips that could not be made; `cut`: those that the disk or the camera left a hole in.

    `clips` and `bytes` are on the disk. `fault`: why the last one failed, None once one is written again.
    """

    written: int
    shared: int
    failed: int
    cut: int
    open: int
    clips: int
    bytes: int
    fault: str | None


@dataclass(slots=True, kw_only=True)
class _OpenClip:
    request: ClipRequest
    end_mono: float
    event_ids: list[str]
    part: Path
    next: int | None = None  # the number of the picture that comes next
    writer: Mp4Writer | None = None
    waits_for_key: bool = True
    cut: bool = False
    over: bool = False


OnClip = Callable[[str, str, float], None]
"""Called in the recorder's thread with a visit's id, its camera and the clip's length in s, once the clip is there."""


class ClipRecorder:
    """`run` in one thread; the rest from any, returns at once."""

    def __init__(
        self,
        *,
        rings: Rings,
        folder: ClipFolder,
        clock: Clock = SYSTEM_CLOCK,
        prune_s: float = PRUNE_S,
        max_s: float = MAX_S,
    ) -> None:
        self._rings, self._folder, self._clock = rings, folder, clock
        self._on_clip: OnClip = lambda _event, _camera, _seconds: None
        self._prune_s, self._max_s = prune_s, max_s
        self._changed = threading.Condition()  # never held over the disk
        self._requests: deque[ClipRequest] = deque(maxlen=_MAX_WAITING)
        self._open: list[_OpenClip] = []
        self._next_prune = clock.mono()
        self._written = self._shared = self._failed = self._cut = 0
        self._usage = (0, 0)
        self._fault: str | None = None
        self.progress_mono = clock.mono()

    def listen(self, callback: OnClip) -> None:
        """Have `callback` called for each visit whose clip is there."""
        self._on_clip = callback

    def request(self, request: ClipRequest) -> bool:
        """Have a clip made; whether there will be one, as far as can be known now."""
        if self._rings.ring(request.camera) is None:
            return False
        with self._changed:
            self._requests.append(request)
            self._changed.notify()
        return True

    def stats(self) -> ClipStats:
        return ClipStats(
            written=self._written,
            shared=self._shared,
            failed=self._failed,
            cut=self._cut,
            open=len(self._open),
            clips=self._usage[0],
            bytes=self._usage[1],
            fault=self._fault,
        )

    def run(self, stop: threading.Event) -> None:
        """Until `stop`; what is being written then ends there, shorter, and is kept."""
        if count := self._folder.remove_parts():
            log.warning("%d clips that were not finished when the detector ended are removed", count)
        while not stop.is_set():
            with self._changed:
                self._changed.wait_for(lambda: bool(self._requests), _LOOK_S)
            if self._open and not self._requests:
                stop.wait(_STEP_S - _LOOK_S)
            self.step()
        for recording in self._open:
            recording.over = True
        self.step()

    def step(self) -> None:
        """Take in what came since the last step; for the thread of `run`, or without one. Raises nothing."""
        self.progress_mono = self._clock.mono()
        with self._changed:
            requests = list(self._requests)
            self._requests.clear()
        for request in requests:
            self._guarded(lambda request=request: self._take(request), None)  # type: ignore[misc]
        for recording in list(self._open):
            self._guarded(lambda recording=recording: self._advance(recording), recording)  # type: ignore[misc]
        if self.progress_mono >= self._next_prune:
            self._next_prune = self.progress_mono + self._prune_s
            self._guarded(self._prune, None)

    def _take(self, request: ClipRequest) -> None:
        for recording in self._open:
            if recording.request.camera == request.camera and self._joins(recording, request):
                longest = recording.request.begin_mono + self._max_s  # reminders may go on for hours
                recording.end_mono = max(recording.end_mono, min(request.end_mono, longest))
                if request.event_id not in recording.event_ids:
                    recording.event_ids.append(request.event_id)
                return
        if self._folder.has(request.event_id):
            return  # a reminder: the visit has the clip of its first alert
        if len(self._open) >= _MAX_OPEN:
            raise StorageError(f"more than {_MAX_OPEN} clips at once")
        part = self._folder.begin(request.event_id)
        self._open.append(
            _OpenClip(request=request, end_mono=request.end_mono, event_ids=[request.event_id], part=part)
        )

    def _joins(self, recording: _OpenClip, request: ClipRequest) -> bool:
        length = request.end_mono - recording.request.begin_mono
        return request.event_id in recording.event_ids or (
            request.begin_mono <= recording.end_mono and length <= self._max_s
        )

    def _advance(self, recording: _OpenClip) -> None:
        ring, now = self._rings.ring(recording.request.camera), self._clock.mono()
        if ring is None or now >= recording.end_mono + _GRACE_S:
            recording.over = True
        if ring is not None:
            self._copy(recording, ring)
        if recording.over:
            self._finish(recording)

    def _copy(self, recording: _OpenClip, ring: PacketRing) -> None:
        if recording.next is None:
            recording.next = ring.start(recording.request.begin_mono)
        if recording.next is None:
            return
        pictures = []
        for number, picture in ring.after(recording.next):
            if picture.mono > recording.end_mono:
                recording.over = True
                break
            if number != recording.next:  # the disk was slower than the ring is long
                recording.waits_for_key = recording.cut = True
            recording.next = number + 1
            if recording.waits_for_key and not picture.key:
                continue
            if recording.writer is not None and picture.format != recording.writer.form:
                recording.over = recording.cut = True  # another size: another clip
                break
            recording.waits_for_key = False
            pictures.append(picture)
            if recording.writer is None:
                recording.writer = Mp4Writer(recording.part, picture.format)
        if recording.writer is not None and pictures:
            recording.writer.write(pictures)

    def _finish(self, recording: _OpenClip) -> None:
        camera, writer = recording.request.camera, recording.writer
        if writer is None:
            raise StorageError(f"camera {camera} gave no key frame for a clip: see its recording in the status")
        writer.close()
        self._folder.finish(recording.part, recording.event_ids)
        self._open.remove(recording)
        self._written += 1
        self._shared += len(recording.event_ids) - 1
        self._cut += recording.cut
        if self._fault is not None:
            log.warning("clips are written again")
            self._fault = None
        self._prune()
        for event_id in recording.event_ids:
            self._on_clip(event_id, camera, writer.duration_s)

    def _prune(self) -> None:
        self._folder.prune()
        self._usage = self._folder.usage()

    def _guarded(self, step: Callable[[], None], recording: _OpenClip | None) -> None:
        """A clip that fails is counted and said; alerts and the other clips go on."""
        try:
            step()
        except Exception as error:
            if not isinstance(error, StorageError):
                log.exception("a clip could not be made")
            self._fail(str(error), recording)

    def _fail(self, why: str, recording: _OpenClip | None) -> None:
        self._failed += 1
        if why != self._fault:
            log.error("no clip: %s; alerts go on", why)
        self._fault = why
        if recording is not None and recording in self._open:
            self._open.remove(recording)
            if recording.writer is not None:
                recording.writer.abandon()
            with suppress(OSError):
                recording.part.unlink(missing_ok=True)
