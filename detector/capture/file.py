"""A recorded clip or a picture, read as fast as possible, or in real time like a camera."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import EndOfStreamError, SourceError

from .av_errors import file_error
from .av_image import AvImage
from .av_reader import AvReader, stamp_s
from .packets import PacketTap
from .source import CapturedImage
from .timeline import Timeline

_LONGEST_WAIT_S = 5.0  # longer pauses of a clip are shortened to this: a read must not seem to hang
_CATCH_UP_S = 0.5  # skipping late frames takes at most this long; then slow motion is better than no picture
_LATE_S = 0.05
_STILL_S = 0.2  # duration of a single picture that is looped


class _Pace:
    """Keeps media time in step with the clock, like a camera: late frames are lost."""

    def __init__(self, *, stop: threading.Event, clock: Clock) -> None:
        self._stop, self._clock = stop, clock
        self._origin: float | None = None  # monotonic second of media second 0

    def reached(self, media_s: float, *, interval_s: float, give_up_mono: float) -> bool:
        """Wait for `media_s`; False if it passed too long ago."""
        now = self._clock.mono()
        if self._origin is None:
            self._origin = now - media_s
        late = now - self._origin - media_s
        if late < 0.0:
            self._stop.wait(min(-late, _LONGEST_WAIT_S))
            self._origin -= max(0.0, -late - _LONGEST_WAIT_S)
        elif late > max(interval_s, _LATE_S):
            if now < give_up_mono:
                return False
            self._origin = now - media_s
        return True


class FileSource:
    """The pictures of the file `path`.

    `paced` reads in real time; a reader that falls behind loses frames, as with a camera. `loop` starts
    again at the end, and media time continues. A wait ends when `stop` is set.
    """

    def __init__(
        self,
        *,
        path: str | Path,
        paced: bool = False,
        loop: bool = False,
        stop: threading.Event | None = None,
        clock: Clock = SYSTEM_CLOCK,
        tap: PacketTap | None = None,
    ) -> None:
        self._path, self._paced, self._loop, self._clock = Path(path), paced, loop, clock
        self._stop = stop or threading.Event()
        self._reader = AvReader(
            # "file:" keeps FFmpeg from reading "12:30.mp4" as a protocol.
            target=f"file:{self._path}",
            shown=str(self._path),
            explain=partial(file_error, shown=str(self._path)),
            options={"pattern_type": "none"},  # a picture's name is a name, not a pattern of names
            tap=tap,
        )
        self._timeline = Timeline()
        self._pace = _Pace(stop=self._stop, clock=clock)
        self._run_length = 0

    def open(self) -> None:
        self._check_path()
        self._reader.open()
        self._timeline, self._pace = Timeline(), _Pace(stop=self._stop, clock=self._clock)
        self._run_length = 0

    def read(self) -> CapturedImage:
        give_up = self._clock.mono() + _CATCH_UP_S
        while True:
            picture = self._next()
            assert picture.media_s is not None
            if not self._paced or self._pace.reached(
                picture.media_s, interval_s=self._reader.interval_s, give_up_mono=give_up
            ):
                return picture

    def close(self) -> None:
        self._reader.close()

    def _next(self) -> CapturedImage:
        interval = self._reader.interval_s
        try:
            frame = self._reader.read()
        except EndOfStreamError:
            if not self._loop:
                raise
            if self._run_length == 1:
                interval = _STILL_S
            # Opened again instead of a seek: that works for every container, and leaves no decoder state.
            self._check_path()
            self._reader.open()
            self._timeline.restart()
            self._run_length = 0
            frame = self._reader.read()
        self._run_length += 1
        return CapturedImage(image=AvImage(frame), media_s=self._timeline.at(stamp_s(frame), interval_s=interval))

    def _check_path(self) -> None:
        # FFmpeg would wait for ever on a pipe, and says "invalid data" for an empty file.
        if self._path.exists() and not self._path.is_file():
            what = "a directory" if self._path.is_dir() else "not a regular file"
            raise SourceError(f"{self._path}: this is {what}; name a video file")
        if self._path.is_file() and self._path.stat().st_size == 0:
            raise SourceError(f"{self._path}: the file is empty")
