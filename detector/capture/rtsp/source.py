"""An RTSP camera read by the detector's own client: a picture is decoded at its last packet.

FFmpeg's demuxer returns a picture only when the next one begins, a whole frame interval later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from detector.capture.av_image import AvImage
from detector.capture.network import NetworkSource
from detector.capture.packets import PacketTap
from detector.capture.source import CapturedImage, DecodeCounts
from detector.capture.timeline import Timeline
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import SourceError
from detector.core.redact import shown_source

from .errors import NotUnderstoodError
from .stream import Stream

log = logging.getLogger(__name__)

# By masked URL, for the whole process, since each connection is a new source.
_logged: set[str] = set()
_pictureless: set[str] = set()
"""Cameras whose last connection played but gave no picture: the next one is made with FFmpeg."""


class RtspSource:
    """The camera at `url`; an open and a read take at most about `timeout_s` seconds each.

    Whatever this client does not support (another codec or authentication scheme, invalid data) is read with
    FFmpeg, in the same `open`. What comes goes to `tap` too, coded as it is. While `keyframes_only()` is true, only key frames are decoded if the camera sends
    them often enough; FFmpeg decodes all.
    """

    def __init__(
        self,
        *,
        url: str,
        timeout_s: float,
        clock: Clock = SYSTEM_CLOCK,
        keyframes_only: Callable[[], bool] = lambda: False,
        tap: PacketTap | None = None,
    ) -> None:
        if not timeout_s > 0.0:
            raise ValueError(f"timeout_s must be positive, got {timeout_s}")
        self._url, self._timeout_s, self._clock, self._keyframes_only = url, timeout_s, clock, keyframes_only
        self._shown, self._tap = shown_source(url), tap
        self._stream: Stream | None = None
        self._fallback: NetworkSource | None = None
        self._timeline = Timeline()
        self._read_by_ffmpeg = 0
        self._why_ffmpeg: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"RtspSource({self._shown})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the camera does unusually, and which way round it was taken."""
        if self._fallback is not None:
            return (*self._why_ffmpeg, *self._fallback.notes)
        return self._stream.notes if self._stream is not None else ()

    @property
    def counts(self) -> DecodeCounts:
        """The counts since it was opened; FFmpeg reports only decoded pictures."""
        stream = self._stream
        if stream is None:
            return DecodeCounts(decoded=self._read_by_ffmpeg)
        return DecodeCounts(
            decoded=stream.decoded,
            skipped=stream.skipped,
            damaged=stream.damaged,
            keyframes_only=stream.keyframes_only,
        )

    def open(self) -> None:
        self.close()
        self._timeline, self._read_by_ffmpeg = Timeline(), 0
        if self._shown not in _pictureless:
            try:
                self._open_stream()
            except NotUnderstoodError as exc:
                self._log_fallback(str(exc))
                self._why_ffmpeg = (f"read through FFmpeg: {str(exc).removeprefix(f'{self._shown}: ')}",)
            else:
                return
        else:
            self._why_ffmpeg = ("read through FFmpeg: the last connection gave no picture",)
        _pictureless.discard(self._shown)  # the next connection tries the own client again
        self._fallback = NetworkSource(url=self._url, timeout_s=self._timeout_s, clock=self._clock, tap=self._tap)
        self._fallback.open()

    def read(self) -> CapturedImage:
        if self._fallback is not None:
            picture = self._fallback.read()
            self._read_by_ffmpeg += 1
            return picture
        if self._stream is None:
            raise SourceError(f"{self._shown}: not open")
        try:
            frame, mono = self._stream.read()
        except NotUnderstoodError as exc:
            _pictureless.add(self._shown)
            self._log_fallback(str(exc))
            raise
        stamp_s = self._stream.stamp_s(frame)
        return CapturedImage(
            image=AvImage(frame), media_s=self._timeline.at(stamp_s, interval_s=self._stream.interval_s), mono=mono
        )

    def close(self) -> None:
        stream, self._stream = self._stream, None
        fallback, self._fallback = self._fallback, None
        if stream is not None:
            stream.close()
        if fallback is not None:
            fallback.close()

    def _open_stream(self) -> None:
        stream = Stream(
            url=self._url,
            shown=self._shown,
            timeout_s=self._timeout_s,
            clock=self._clock,
            keyframes_only=self._keyframes_only,
            tap=self._tap,
        )
        stream.open()
        self._stream = stream

    def _log_fallback(self, why: str) -> None:
        if self._shown not in _logged:
            _logged.add(self._shown)
            log.info("%s; read through FFmpeg, whose pictures are a frame interval older", why)
