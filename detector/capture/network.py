"""Cameras on the network: RTSP(S) over TCP and HTTP(S) MJPEG."""

from __future__ import annotations

from functools import partial

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.redact import shown_source
from detector.core.urls import split_url

from .av_errors import network_error
from .av_image import AvImage
from .av_reader import AvReader, stamp_s
from .http_stream import HttpStream, Resolver, look_up
from .source import CapturedImage
from .timeline import Timeline


def _options(url: str, timeout_s: float) -> dict[str, str]:
    options = {"timeout": str(round(timeout_s * 1e6))}  # microseconds, of the socket; PyAV adds its own time-out
    if url.lower().startswith("rtsp"):
        # TCP: a lost UDP packet damages the picture up to the next key frame. Audio is not requested.
        # A probe of 0.1 s of video is enough; with FFmpeg's default the first pictures are 1 s old.
        options |= {"rtsp_transport": "tcp", "allowed_media_types": "video", "analyzeduration": "100000"}
    return options


class NetworkSource:
    """A camera at `url`; an open and a read take at most about `timeout_s` seconds each.

    HTTP goes over a connection of our own (`HttpStream`, whose look-ups are `resolve`'s), RTSP over FFmpeg's.
    """

    def __init__(self, *, url: str, timeout_s: float, clock: Clock = SYSTEM_CLOCK, resolve: Resolver = look_up) -> None:
        if not timeout_s > 0.0:
            raise ValueError(f"timeout_s must be positive, got {timeout_s}")
        shown, split = shown_source(url), split_url(url)
        is_http = split is not None and split.scheme in ("http", "https")
        self._shown = shown
        self._reader = AvReader(
            target=url if split is None else split.encoded,
            shown=shown,
            explain=partial(network_error, shown=shown, timeout_s=timeout_s),
            options=_options(url, timeout_s),
            timeout_s=timeout_s,
            stream=HttpStream(url=url, shown=shown, timeout_s=timeout_s, clock=clock, resolve=resolve)
            if is_http
            else None,
            clock=clock,
        )
        self._timeline = Timeline()

    def __repr__(self) -> str:
        return f"NetworkSource({self._shown})"

    def open(self) -> None:
        self._timeline = Timeline()
        self._reader.open()

    def read(self) -> CapturedImage:
        frame = self._reader.read()
        media_s = self._timeline.at(stamp_s(frame), interval_s=self._reader.interval_s)
        return CapturedImage(image=AvImage(frame), media_s=media_s)

    def close(self) -> None:
        self._reader.close()
