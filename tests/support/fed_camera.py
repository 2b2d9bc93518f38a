"""A small real RTSP camera that sends a picture when the test says so, at the media time that the test says."""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av

from detector.core.types import Pixels

from .rtsp_script import RtspScript, ScriptedConnection, greet
from .rtsp_video import CLOCK, encoded, interleaved

if TYPE_CHECKING:
    from typing_extensions import Self

_PACKET = 60_000  # bytes: over TCP a picture may come in few packets


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedFootage:
    """Coded H.264: the RTP packets of each picture; the first one is a key frame."""

    pictures: tuple[tuple[bytes, ...], ...]
    sdp: str


def footage(pictures: Iterable[Pixels], *, fps: int, still: bool = False) -> CodedFootage:
    """`pictures` (BGR), coded; with `still` each by itself. All footage of one size and rate has the same parameter sets."""
    video = encoded([av.VideoFrame.from_ndarray(bgr, "bgr24") for bgr in pictures], fps=fps, keys_only=still)
    packets = video.packets(in_band=True, size=_PACKET)
    return CodedFootage(pictures=tuple(tuple(one) for one in packets), sdp=video.sdp())


class FedCamera:
    """A context manager; `away` cuts its connection and all later ones off, until `back`."""

    def __init__(self, sdp: str) -> None:
        self._sdp = sdp
        self._script = RtspScript(self._play)
        self._changed = threading.Condition()
        self._connection: ScriptedConnection | None = None
        self._away = False
        self._sequence = 0

    @property
    def url(self) -> str:
        return self._script.url

    @property
    def connected(self) -> bool:
        """Whether somebody watches."""
        with self._changed:
            return self._connection is not None

    def send(self, picture: Iterable[bytes], media_s: float) -> None:
        """One picture's RTP packets, stamped `media_s`; it is lost where nobody watches."""
        with self._changed:
            connection = self._connection
        if connection is None:
            return
        with contextlib.suppress(OSError):  # the client went
            connection.send(b"".join(interleaved(self._stamped(packet, media_s)) for packet in picture))

    def away(self) -> None:
        """The cable is pulled."""
        with self._changed:
            self._away = True
            if self._connection is not None:
                self._connection.hang_up()
            self._connection = None

    def back(self) -> None:
        with self._changed:
            self._away = False

    def __enter__(self) -> Self:
        self._script.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._script.__exit__()

    def _play(self, connection: ScriptedConnection) -> None:
        if self._away:
            return
        connection.reply(greet(connection, self._sdp))
        self._watched_by(connection)
        try:
            while True:
                try:
                    connection.reply(connection.ask())
                except TimeoutError:
                    continue  # it asks by the media clock, which may stand
        finally:
            self._watched_by(None)

    def _watched_by(self, connection: ScriptedConnection | None) -> None:
        with self._changed:
            self._connection = connection

    def _stamped(self, packet: bytes, media_s: float) -> bytes:
        self._sequence += 1
        place = struct.pack(">HI", self._sequence & 0xFFFF, round(media_s * CLOCK) & 0xFFFFFFFF)
        return packet[:2] + place + packet[8:]
