"""RTP packets (RFC 3550): header fields, lost packets, and time stamps that do not wrap."""

from __future__ import annotations

import struct
from typing import NamedTuple

_HEADER = struct.Struct(">BBHII")
_HALF = 1 << 31
_PLAIN = 0x80  # the first byte of version 2 without padding, extension and list of contributing sources


class RtpPacket(NamedTuple):
    """`gap`: packets before it are missing. `timestamp`: in ticks of the clock rate, extended beyond 32 bits.

    A tuple, since there are hundreds per second: a frozen dataclass takes several times as long to make.
    """

    marker: bool
    timestamp: int
    gap: bool
    payload: bytes


class Receiver:
    """Parses one sender's packets; other payload types, repetitions and broken headers give None."""

    def __init__(self, *, payload_type: int) -> None:
        self._payload_type = payload_type
        self._source: int | None = None
        self._sequence = 0
        self._timestamp: int | None = None

    def packet(self, data: bytes) -> RtpPacket | None:
        if len(data) < _HEADER.size:
            return None
        first, second, sequence, stamp, source = _HEADER.unpack_from(data)
        payload = data[_HEADER.size :] if first == _PLAIN else _payload(data, first)
        if first >> 6 != 2 or second & 0x7F != self._payload_type or not payload:
            return None
        gap = False
        if source != self._source:
            self._source = source  # the sender restarted
        elif sequence == self._sequence:
            return None
        else:
            gap = sequence != (self._sequence + 1) & 0xFFFF
        self._sequence = sequence
        last = self._timestamp
        self._timestamp = stamp if last is None else last + (stamp - last + _HALF) % (2 * _HALF) - _HALF
        return RtpPacket(second >= 0x80, self._timestamp, gap, payload)


def _payload(data: bytes, first: int) -> bytes:
    """The payload after the header, contributing sources and extension, without padding; b"" if broken."""
    start = _HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    end = len(data) - (data[-1] if first & 0x20 else 0)
    return data[start : max(start, end)]
