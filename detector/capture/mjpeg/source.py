"""Cameras that send JPEG pictures over HTTP: an endless multipart, or a picture for each request."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import av.error
from av.codec.context import CodecContext
from av.packet import Packet

from detector.capture.av_errors import network_error
from detector.capture.av_image import AvImage
from detector.capture.network import NetworkSource
from detector.capture.packets import PacketTap
from detector.capture.source import CapturedImage, DecodeCounts
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import SourceError
from detector.core.redact import shown_source

from .connection import HttpConnection
from .jpeg_tap import JpegTap
from .splitter import MAX_PICTURE, JpegSplitter

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

_BAD_PICTURES = 100  # in a row; fewer are a disturbance
_GULPS = 8  # reads of what is there already, before the newest picture is handed over
_PAGES = ("text/", "application/json", "application/xml", "application/xhtml")
_JPEG = ("image/jpeg", "image/jpg", "image/pjpeg")


class HttpSource:
    """The camera at `url`; an open and a read take at most about `timeout_s` seconds each.

    Pictures are found by their own structure, so that parts without lengths, with LF line ends or with their boundary
    behind them do not matter. A URL that answers with one picture is asked again, `poll_fps` times a second. What
    is neither (FLV, MPEG-TS, HLS) is left to FFmpeg.
    """

    def __init__(
        self,
        *,
        url: str,
        timeout_s: float,
        poll_fps: float = 10.0,
        stop: threading.Event | None = None,
        clock: Clock = SYSTEM_CLOCK,
        tap: PacketTap | None = None,
    ) -> None:
        self._tap = tap
        self._jpeg_tap: JpegTap | None = None
        if not timeout_s > 0.0:
            raise ValueError(f"timeout_s must be positive, got {timeout_s}")
        self._url, self._timeout_s, self._clock = url, timeout_s, clock
        self._poll_s = min(1.0 / poll_fps, timeout_s / 2)  # a read must end in its time
        self._stop = stop or threading.Event()
        self._shown = shown_source(url)
        self._connection: HttpConnection | None = None
        self._fallback: NetworkSource | None = None
        self._origin_mono: float | None = None
        self._reset()

    def __repr__(self) -> str:
        return f"HttpSource({self._shown})"

    @property
    def counts(self) -> DecodeCounts:
        """Since it was opened."""
        if self._fallback is not None:
            return self._fallback.counts
        return DecodeCounts(decoded=self._decoded, skipped=self._skipped, damaged=self._splitter.damaged + self._broken)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the camera does unusually, and which way round it was taken."""
        connection = self._connection
        found = {
            "Basic instead of Digest": connection is not None and connection.fell_back,
            f"single pictures, asked for {1.0 / self._poll_s:.3g} times a second": self._single,
            "pictures cut short left out": self.counts.damaged > 0,
            "read through FFmpeg: neither multipart nor JPEG": self._fallback is not None,
        }
        return tuple(text for text, holds in found.items() if holds)

    def open(self) -> None:
        self.close()
        self._reset()
        self._jpeg_tap = None if self._tap is None else JpegTap(self._tap)
        deadline = self._clock.mono() + self._timeout_s
        self._connection = HttpConnection(
            url=self._url, shown=self._shown, timeout_s=self._timeout_s, clock=self._clock
        )
        try:
            understood = self._begin(deadline)
        except ValueError:
            understood = False
        except SourceError:
            self.close()
            raise
        if not understood:
            self._connection.close()
            self._fallback = NetworkSource(url=self._url, timeout_s=self._timeout_s, clock=self._clock, tap=self._tap)
            self._fallback.open()

    def read(self) -> CapturedImage:
        if self._fallback is not None:
            return self._fallback.read()
        if self._connection is None:
            raise SourceError(f"{self._shown}: not open")
        deadline = self._clock.mono() + self._timeout_s
        while True:
            if self._asked:
                deadline = self._ask_again(self._connection)
            data, mono = self._next_picture(self._connection, deadline)
            frame = self._decode(data)
            if frame is not None:
                self._origin_mono = mono if self._origin_mono is None else self._origin_mono
                return CapturedImage(image=AvImage(frame), media_s=mono - self._origin_mono, mono=mono)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        fallback, self._fallback = self._fallback, None
        if connection is not None:
            connection.close()
        if fallback is not None:
            fallback.close()

    def _reset(self) -> None:
        self._splitter = JpegSplitter()
        self._decoder = _decoder()
        self._pictures: list[bytes] = []
        self._single = self._asked = False
        self._origin_mono = None
        self._next_mono = self._received_mono = 0.0
        self._decoded = self._skipped = self._broken = self._bad = 0
        self._unseen = 0  # bytes since the last picture

    def _begin(self, deadline: float) -> bool:
        """Ask; whether pictures can be expected of the answer."""
        assert self._connection is not None
        self._next_mono = self._clock.mono() + self._poll_s
        kind = (self._connection.get(deadline).headers.get("Content-Type") or "").strip().lower()
        self._single = kind.startswith(_JPEG)
        if self._single or kind.startswith("multipart/"):
            return True
        # Neither is said: what comes first decides.
        head = self._connection.read(deadline)
        self._received_mono = self._clock.mono()
        self._take_in(head)
        if b"\xff\xd8\xff" in head or b"image/jpeg" in head.lower() or head.lstrip().startswith(b"--"):
            return True
        if kind.startswith(_PAGES):
            raise network_error(av.error.InvalidDataError(0, ""), shown=self._shown, timeout_s=self._timeout_s)
        return False

    def _ask_again(self, connection: HttpConnection) -> float:
        """Ask for the next single picture in its turn; the deadline for it, monotonic s."""
        self._stop.wait(max(0.0, self._next_mono - self._clock.mono()))
        now = self._clock.mono()
        self._next_mono, self._asked = max(self._next_mono + self._poll_s, now), False
        try:
            connection.get(now + self._timeout_s)
        except ValueError as exc:
            raise SourceError(f"{self._shown}: {exc} any more") from None
        return now + self._timeout_s

    def _next_picture(self, connection: HttpConnection, deadline: float) -> tuple[bytes, float]:
        """The newest picture that is there, waited for where there is none, and when its last byte was read."""
        while not self._pictures:
            if not self._receive(connection, deadline):
                what = (
                    "what it sends is no whole picture; check the URL"
                    if self._single
                    else "the camera ended the stream"
                )
                raise SourceError(f"{self._shown}: {what}")
        if self._single:
            connection.finish()
            self._asked = True
        for _ in range(_GULPS):
            if self._single or not connection.waiting() or not self._receive(connection, deadline):
                break  # an end comes again with the next read
        self._skipped += len(self._pictures) - 1
        newest, self._pictures = self._pictures[-1], []
        self._unseen = 0
        return newest, self._received_mono

    def _receive(self, connection: HttpConnection, deadline: float) -> bool:
        """Take in what comes next; False at the answer's end."""
        try:
            data = connection.read(deadline)
        except ValueError as exc:
            raise SourceError(f"{self._shown}: {exc} any more") from None
        except SourceError:
            if self._unseen and self._clock.mono() >= deadline:
                raise self._no_picture() from None
            raise
        self._received_mono = self._clock.mono()
        self._unseen += len(data)
        self._take_in(data)
        if self._unseen > 2 * MAX_PICTURE:
            raise self._no_picture()
        return bool(data)

    def _take_in(self, data: bytes) -> None:
        pictures = self._splitter.feed(data)
        self._pictures += pictures
        if self._jpeg_tap is not None:
            for picture in pictures:
                self._jpeg_tap.put(picture, mono=self._received_mono)

    def _no_picture(self) -> SourceError:
        return SourceError(f"{self._shown}: data comes, but no whole JPEG picture within {self._timeout_s:g} s")

    def _decode(self, data: bytes) -> VideoFrame | None:
        try:
            frames = self._decoder.decode(Packet(data))
        except (av.error.FFmpegError, ValueError):
            frames = []
        if frames and not frames[-1].is_corrupt:
            self._decoded, self._bad = self._decoded + 1, 0
            return frames[-1]
        self._broken, self._bad = self._broken + 1, self._bad + 1
        if self._bad >= _BAD_PICTURES:
            raise SourceError(f"{self._shown}: {self._bad} pictures in a row cannot be decoded; the stream is damaged")
        return None


def _decoder() -> VideoCodecContext:
    context = CodecContext.create("mjpeg", "r")
    context.thread_type, context.thread_count = "SLICE", 1
    return context
