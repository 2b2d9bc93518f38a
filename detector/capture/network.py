"""Cameras on the network through FFmpeg: RTSP over TCP or UDP, and what else it knows over HTTP."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.redact import shown_source
from detector.core.urls import split_url

from .av_errors import network_error
from .av_image import AvImage
from .av_reader import AvReader, stamp_s
from .dial import Resolver, look_up
from .http_stream import HttpStream
from .packets import PacketTap
from .source import CapturedImage, DecodeCounts
from .timeline import Timeline

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


Transport = Literal["tcp", "udp"]
_DISORDER_S = 1.0  # stamps that go back less than this are disorder, more is a clock that was set


def ffmpeg_options(url: str, timeout_s: float, transport: Transport) -> dict[str, str]:
    """FFmpeg's options for the camera at `url`."""
    options = {"timeout": str(round(timeout_s * 1e6))}  # microseconds, of the socket; PyAV adds its own time-out
    if url.lower().startswith("rtsp"):
        # TCP by default: a lost UDP packet damages the picture up to the next key frame. Audio is not requested.
        # A probe of 0.1 s of video is enough; with FFmpeg's default the first pictures are 1 s old.
        options |= {"rtsp_transport": transport, "allowed_media_types": "video", "analyzeduration": "100000"}
    return options


class NetworkSource:
    """A camera at `url`; an open and a read take at most about `timeout_s` seconds each.

    HTTP goes over a connection of our own (`HttpStream`, whose look-ups are `resolve`'s), RTSP over FFmpeg's.
    """

    def __init__(
        self,
        *,
        url: str,
        timeout_s: float,
        transport: Transport = "tcp",
        clock: Clock = SYSTEM_CLOCK,
        resolve: Resolver = look_up,
        tap: PacketTap | None = None,
    ) -> None:
        if not timeout_s > 0.0:
            raise ValueError(f"timeout_s must be positive, got {timeout_s}")
        shown, split = shown_source(url), split_url(url)
        is_http = split is not None and split.scheme in ("http", "https")
        self._shown = shown
        self._reader = AvReader(
            target=url if split is None else split.encoded,
            shown=shown,
            explain=partial(network_error, shown=shown, timeout_s=timeout_s),
            options=ffmpeg_options(url, timeout_s, transport),
            timeout_s=timeout_s,
            stream=HttpStream(url=url, shown=shown, timeout_s=timeout_s, clock=clock, resolve=resolve)
            if is_http
            else None,
            clock=clock,
            tap=tap,
        )
        self._timeline, self._over_udp = Timeline(), transport == "udp"
        self._read = 0
        self._shown_s: float | None = None
        self._disorder = False

    @property
    def counts(self) -> DecodeCounts:
        """Since it was opened; FFmpeg tells of nothing that it leaves out."""
        return DecodeCounts(decoded=self._read)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the camera does unusually, and which way round it was taken."""
        found = {"RTSP over UDP": self._over_udp, "stamps out of order: pictures left out": self._disorder}
        return tuple(text for text, holds in found.items() if holds)

    def __repr__(self) -> str:
        return f"NetworkSource({self._shown})"

    def open(self) -> None:
        self._timeline, self._read, self._shown_s, self._disorder = Timeline(), 0, None, False
        self._reader.open()

    def read(self) -> CapturedImage:
        frame, stamp = self._next_in_order()
        self._read, self._shown_s = self._read + 1, stamp
        media_s = self._timeline.at(stamp, interval_s=self._reader.interval_s)
        return CapturedImage(image=AvImage(frame), media_s=media_s)

    def _next_in_order(self) -> tuple[VideoFrame, float | None]:
        """The next picture that does not come behind a later one, and its stamp in seconds."""
        while True:
            frame = self._reader.read()
            stamp = stamp_s(frame)
            if stamp is None or self._shown_s is None or not 0.0 < self._shown_s - stamp < _DISORDER_S:
                return frame, stamp
            self._disorder = True

    def close(self) -> None:
        self._reader.close()
