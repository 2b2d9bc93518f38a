"""One camera's loop: drain the source, stamp each frame, reconnect when it fails."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from detector.core.backoff import Backoff
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import EndOfStreamError, SourceError
from detector.core.redact import redact
from detector.core.stats import Rate
from detector.core.types import CameraState, Frame

from .source import CameraRefusedError, CapturedImage, Counting, DecodeCounts, Noting, Source, WaitingError

log = logging.getLogger(__name__)

OnState = Callable[[str, CameraState, "str | None"], None]
_SLICE_S = 1.0  # waits are divided into these, so that `progress_mono` advances
_STEADY_S = 5.0  # a connection that lasts this long resets the back-off; a flapping one does not
_SOON_S = 60.0  # an outage shorter than this ends within seconds of the camera's return
_SOON_CAP_S = 2.0  # the longest wait until then
_REMIND_S = 60.0  # repetitions of an error are logged at most this often
_END_OF_FILE = "end of file"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureStats:
    """A camera at one moment. `error` is the reason while not online; sizes are px of the last frame.

    `progress_mono` advances while the loop is alive, with or without the camera: if it stops for longer
    than an open or a read may take, a native call hangs. `decode` counts over all connections. `notes` say what the camera does unusually, of this connection and the one before.
    """

    state: CameraState
    error: str | None
    frames: int
    fps: float
    width: int
    height: int
    reconnects: int
    last_frame_mono: float | None
    progress_mono: float
    decode: DecodeCounts
    notes: tuple[str, ...] = ()


class _Reporter:
    """Logs an outage once, summarises its repetitions, and logs when it is over."""

    def __init__(self, *, name: str, clock: Clock) -> None:
        self._name, self._clock = name, clock
        self._text: str | None = None
        self._repeats = 0
        self._since = self._logged = 0.0

    def failed(self, text: str) -> None:
        now = self._clock.mono()
        if self._text is None:
            self._since = now
        if text != self._text:
            log.warning("camera %s: %s", self._name, text)
            self._text, self._repeats, self._logged = text, 0, now
            return
        self._repeats += 1
        if now - self._logged >= _REMIND_S:
            log.warning("camera %s: still: %s (%d times more)", self._name, text, self._repeats)
            self._repeats, self._logged = 0, now

    def recovered(self) -> None:
        if self._text is not None:
            log.info("camera %s: online again after %.0f s", self._name, self._clock.mono() - self._since)
            self._text = None


class CameraLoop:
    """Reads one camera and reconnects after failures; `run` is the target of a thread.

    `make_source` is called for each connection; `put` gets every frame; `on_state(camera, state, reason)` is
    called in this loop's thread each time the state or its reason changes.
    """

    def __init__(
        self,
        *,
        name: str,
        make_source: Callable[[], Source],
        put: Callable[[Frame], None],
        stop: threading.Event,
        clock: Clock = SYSTEM_CLOCK,
        on_state: OnState | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._name, self._make_source, self._put, self._stop = name, make_source, put, stop
        self._clock, self._on_state, self._backoff = clock, on_state, backoff or Backoff()
        self._soon = backoff or Backoff(cap=_SOON_CAP_S)
        self._lost_mono: float | None = None  # since when there is no steady connection
        self._lock = threading.Lock()
        self._reporter = _Reporter(name=name, clock=clock)
        self._state: CameraState = "connecting"
        self._error: str | None = None
        self._rate = Rate()
        self._frames = self._reconnects = self._width = self._height = 0
        self._last_frame_mono: float | None = None
        self._decode = DecodeCounts()  # of the connections before this one
        self._counting: Counting | None = None
        self._noting: Noting | None = None
        self._notes: tuple[str, ...] = ()  # of the connection before this one
        self._read = 0  # of this connection, where its source does not count
        self._online_since: float | None = None
        self._progress_mono = clock.mono()

    def run(self) -> None:
        """Until stop: connect, read, wait, repeat. After the end of a file the loop waits, offline."""
        while not self._stop.is_set():
            try:
                self._drain()
            except EndOfStreamError:
                self._fail(_END_OF_FILE)
                self._wait(math.inf)  # a thread that ends would be treated as a failure
            except SourceError as exc:
                self._fail(redact(str(exc)))
                self._wait(self._pause_s(refused=isinstance(exc, CameraRefusedError)))
            except Exception as exc:
                # A bug of ours or of a library: this camera tries again, the others are not affected.
                log.exception("camera %s: unexpected error", self._name)
                self._fail(redact(f"unexpected error: {type(exc).__name__}"))
                self._wait(self._pause_s(refused=False))

    def stats(self) -> CaptureStats:
        """A consistent snapshot of the loop's state, from any thread."""
        now = self._clock.mono()
        with self._lock:
            return CaptureStats(
                state=self._state,
                error=self._error,
                frames=self._frames,
                fps=self._rate.value(now),
                width=self._width,
                height=self._height,
                reconnects=self._reconnects,
                last_frame_mono=self._last_frame_mono,
                progress_mono=self._progress_mono,
                decode=self._decoded(),
                notes=self._noted(),
            )

    def _drain(self) -> None:
        source = self._make_source()
        try:
            source.open()
            with self._lock:
                # Asked only in `stats`, which is called rarely, while pictures come often.
                self._counting = source if isinstance(source, Counting) else None
                self._noting = source if isinstance(source, Noting) else None
            self._alive()
            while not self._stop.is_set():
                try:
                    grab = source.read()
                except WaitingError as exc:
                    self._wait_for_picture(redact(str(exc)))
                else:
                    self._deliver(grab)
        finally:
            with self._lock:
                self._decode, self._counting, self._read = self._decoded(), None, 0
                if self._noting is not None:
                    self._notes, self._noting = self._noting.notes, None
            source.close()

    def _decoded(self) -> DecodeCounts:
        before, now = self._decode, DecodeCounts(decoded=self._read)
        if self._counting is not None:
            now = self._counting.counts
        return DecodeCounts(
            decoded=before.decoded + now.decoded,
            skipped=before.skipped + now.skipped,
            damaged=before.damaged + now.damaged,
            keyframes_only=now.keyframes_only,
        )

    def _noted(self) -> tuple[str, ...]:
        now = self._noting.notes if self._noting is not None else ()
        return tuple(redact(note) for note in dict.fromkeys((*now, *self._notes)))

    def _pause_s(self, *, refused: bool) -> float:
        """How long to wait before the next try: short at first, unless the camera itself said no."""
        if self._lost_mono is None:
            self._lost_mono = self._clock.mono()
        soon = self._clock.mono() - self._lost_mono < _SOON_S and not refused
        return (self._soon if soon else self._backoff).next()

    def _wait_for_picture(self, reason: str) -> None:
        """The connection stands, data comes: nothing to do but to go on reading."""
        self._alive()
        self._online_since = None
        self._reporter.failed(reason)
        self._enter("connecting", reason)

    def _deliver(self, picture: CapturedImage) -> None:
        now, wall = self._clock.mono(), self._clock.wall()
        # What came before decoding counts: a frame is as old as its last packet, and none older than the one before.
        mono = now if picture.mono is None else min(now, picture.mono)
        mono = mono if self._last_frame_mono is None else max(mono, self._last_frame_mono)
        wall -= now - mono
        frame = Frame(camera=self._name, seq=self._frames, captured_mono=mono, captured_wall=wall, image=picture.image)
        with self._lock:
            self._frames += 1
            self._read += 1
            self._rate.tick(mono)
            self._width, self._height = picture.image.width, picture.image.height
            self._last_frame_mono, self._progress_mono = mono, now
        if self._online_since is None:
            self._online_since = mono
            self._reporter.recovered()
            self._enter("online", None)
        elif mono - self._online_since >= _STEADY_S:
            self._backoff.reset()
            self._soon.reset()
            self._lost_mono = None
        self._put(frame)

    def _fail(self, reason: str) -> None:
        self._alive()
        self._online_since = None
        with self._lock:
            self._rate.clear()
        if reason == _END_OF_FILE:
            log.info("camera %s: %s", self._name, reason)
        else:
            self._reporter.failed(reason)
        self._enter("offline", reason)

    def _enter(self, state: CameraState, error: str | None) -> None:
        with self._lock:
            if (state, error) == (self._state, self._error):
                return
            self._state, self._error = state, error
        if self._on_state is not None:
            self._on_state(self._name, state, error)

    def _wait(self, seconds: float) -> None:
        """Wait `seconds` or until stop; counts a reconnect unless stopped."""
        while seconds > 0.0 and not self._stop.is_set():
            self._alive()
            self._stop.wait(min(seconds, _SLICE_S))
            seconds -= _SLICE_S
        if not self._stop.is_set():
            with self._lock:
                self._reconnects += 1

    def _alive(self) -> None:
        with self._lock:
            self._progress_mono = self._clock.mono()
