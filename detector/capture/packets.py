"""Coded pictures on their way into a clip, as a camera sent them: never decoded, never encoded again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

TICKS = 90_000
"""Ticks a second of every time stamp of a coded picture: RTP's own for video (RFC 6184 and 7798, section 8.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFormat:
    """What a container must know of a stream: FFmpeg's name of the codec, its parameter sets, its size in px.

    `extradata` is in the form of the pictures themselves: start codes before each unit (Annex B), or what an MP4 holds.
    """

    codec: str
    extradata: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPicture:
    """One coded picture. `pts` is when it is shown, in ticks of its run; `mono` when it was read, monotonic s.

    `key`: decodable without the pictures before it. Stamps compare within a `run` alone: a connection has its own.
    """

    data: bytes
    pts: int
    mono: float
    key: bool
    run: int
    format: StreamFormat


class PacketTap(Protocol):
    """Takes a stream's coded pictures, in the order of decoding, from the thread that reads it."""

    def begin(self) -> None:
        """A connection was made: stamps begin again."""
        ...

    def put(self, form: StreamFormat, data: bytes, *, pts: int, mono: float, key: bool) -> None: ...
