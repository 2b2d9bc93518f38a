"""A stream that is recorded and never decoded: what comes goes to a tap."""

from __future__ import annotations

import math
import threading
from functools import partial
from pathlib import Path
from typing import Protocol

from detector.capture.av_errors import file_error, network_error
from detector.capture.av_reader import AvReader
from detector.capture.http_stream import HttpStream
from detector.capture.mjpeg.connection import HttpConnection
from detector.capture.mjpeg.jpeg_tap import JpegTap
from detector.capture.mjpeg.splitter import MAX_PICTURE, JpegSplitter
from detector.capture.network import Transport, ffmpeg_options
from detector.capture.packets import PacketTap
from detector.capture.rtsp.access_units import Assembler
from detector.capture.rtsp.errors import NotUnderstoodError
from detector.capture.rtsp.rtp import Receiver
from detector.capture.rtsp.session import RtspSession
from detector.capture.rtsp.stream import PAYLOADS, unit_tap
from detector.core.clock import Clock
from detector.core.errors import EndOfStreamError, SourceError
from detector.core.redact import shown_source
from detector.core.urls import split_url

_MULTIPART = "multipart/"


class PacketSource(Protocol):
    """A connection whose pictures go to a tap. Opened, read and closed by one thread; each limited in time."""

    def open(self) -> None: ...

    def read(self) -> None:
        """Take in what comes next; raises SourceError where nothing comes in time."""
        ...

    def close(self) -> None: ...


class RtspPackets:
    """An RTSP camera by our own client; NotUnderstoodError where FFmpeg may succeed."""

    def __init__(self, *, url: str, timeout_s: float, tap: PacketTap, clock: Clock) -> None:
        self._timeout_s, self._tap, self._clock = timeout_s, tap, clock
        self._session = RtspSession(url=url, shown=shown_source(url), timeout_s=timeout_s, clock=clock)

    def open(self) -> None:
        video = self._session.open()
        self._receiver = Receiver(payload_type=video.payload_type)
        self._assembler = Assembler(PAYLOADS[video.codec]())
        self._unit_tap = unit_tap(video, self._tap)

    def read(self) -> None:
        deadline = self._clock.mono() + self._timeout_s
        packets: list[bytes] = []
        while not packets:
            if self._clock.mono() >= deadline:
                raise self._session.timed_out()
            packets = self._session.receive(deadline)
        for data in packets:
            packet = self._receiver.packet(data)
            if packet is None or self._unit_tap is None:
                continue
            for unit in self._assembler.push(packet, mono=self._session.received_mono):
                self._unit_tap.put(unit)

    def close(self) -> None:
        self._session.close()


class JpegPackets:
    """A multipart of JPEG pictures over HTTP; NotUnderstoodError for anything else."""

    def __init__(self, *, url: str, timeout_s: float, tap: PacketTap, clock: Clock) -> None:
        self._shown, self._timeout_s, self._clock = shown_source(url), timeout_s, clock
        self._connection = HttpConnection(url=url, shown=self._shown, timeout_s=timeout_s, clock=clock)
        self._tap = tap

    def open(self) -> None:
        try:
            headers = self._connection.get(self._clock.mono() + self._timeout_s).headers
        except ValueError as error:
            raise NotUnderstoodError(f"{self._shown}: {error}") from None
        if not (headers.get("Content-Type") or "").strip().lower().startswith(_MULTIPART):
            raise NotUnderstoodError(f"{self._shown}: not a multipart")
        self._splitter, self._unseen = JpegSplitter(), 0
        self._jpeg_tap = JpegTap(self._tap)

    def read(self) -> None:
        try:
            data = self._connection.read(self._clock.mono() + self._timeout_s)
        except ValueError as error:
            raise SourceError(f"{self._shown}: {error} any more") from None
        if not data:
            raise SourceError(f"{self._shown}: the camera ended the stream")
        mono, pictures = self._clock.mono(), self._splitter.feed(data)
        for picture in pictures:
            self._jpeg_tap.put(picture, mono=mono)
        self._unseen = 0 if pictures else self._unseen + len(data)
        if self._unseen > 2 * MAX_PICTURE:
            raise SourceError(f"{self._shown}: data comes, but no whole JPEG picture")

    def close(self) -> None:
        self._connection.close()


class AvPackets:
    """What FFmpeg can read: RTSP in other ways, HTTP in other formats, and files in real time."""

    def __init__(self, reader: AvReader, *, clock: Clock, stop: threading.Event, paced: bool, loop: bool) -> None:
        self._reader, self._clock, self._stop = reader, clock, stop
        self._paced, self._loop = paced, loop
        self._origin: float | None = None

    def open(self) -> None:
        self._origin = None
        self._reader.open()

    def read(self) -> None:
        try:
            stamp_s = self._reader.skip()
        except EndOfStreamError:
            if not self._loop:
                raise
            self.open()
            return
        if not self._paced or math.isnan(stamp_s):
            return
        now = self._clock.mono()
        if self._origin is None:
            self._origin = now - stamp_s
        self._stop.wait(min(max(0.0, self._origin + stamp_s - now), 1.0))

    def close(self) -> None:
        self._reader.close()


def packet_sources(
    source: str,
    *,
    transport: Transport,
    loop: bool,
    timeout_s: float,
    tap: PacketTap,
    clock: Clock,
    stop: threading.Event,
) -> list[PacketSource]:
    """The ways to read `source`, in the order to be tried: each but the last may raise NotUnderstoodError."""
    scheme = source.partition("://")[0].lower()
    if scheme not in ("rtsp", "rtsps", "http", "https"):
        return [_file_packets(source, loop=loop, tap=tap, clock=clock, stop=stop)]
    ways: list[PacketSource] = []
    if scheme.startswith("rtsp") and transport == "tcp":
        ways.append(RtspPackets(url=source, timeout_s=timeout_s, tap=tap, clock=clock))
    if scheme.startswith("http"):
        ways.append(JpegPackets(url=source, timeout_s=timeout_s, tap=tap, clock=clock))
    shown, split = shown_source(source), split_url(source)
    reader = AvReader(
        target=source if split is None else split.encoded,
        shown=shown,
        explain=partial(network_error, shown=shown, timeout_s=timeout_s),
        options=ffmpeg_options(source, timeout_s, transport),
        timeout_s=timeout_s,
        stream=HttpStream(url=source, shown=shown, timeout_s=timeout_s, clock=clock)
        if scheme.startswith("http")
        else None,
        clock=clock,
        tap=tap,
    )
    return [*ways, AvPackets(reader, clock=clock, stop=stop, paced=False, loop=False)]


def _file_packets(source: str, *, loop: bool, tap: PacketTap, clock: Clock, stop: threading.Event) -> AvPackets:
    path = Path(source.removeprefix("file://")).expanduser()
    reader = AvReader(
        target=f"file:{path}",
        shown=str(path),
        explain=partial(file_error, shown=str(path)),
        options={"pattern_type": "none"},
        clock=clock,
        tap=tap,
    )
    return AvPackets(reader, clock=clock, stop=stop, paced=True, loop=loop)
