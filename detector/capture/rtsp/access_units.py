"""Assembles RTP packets to access units: one coded picture each, in a decoder's byte stream (Annex B)."""

from __future__ import annotations

from dataclasses import dataclass

from .nal import START, Depacketizer, NalKind
from .rtp import RtpPacket

_MAX_BYTES, _MAX_UNITS = 1 << 24, 1 << 12  # of one picture; more means that the sender never ends it


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessUnit:
    """One coded picture. `mono` is when its last packet was read, monotonic seconds; `timestamp` in clock ticks.

    `parameters` are only its parameter sets, `data` all its units, both with start codes.
    """

    data: bytes
    parameters: bytes
    timestamp: int
    mono: float
    key: bool
    reference: bool
    damaged: bool


class Assembler:
    """Returns a picture at its packet with the marker bit, or, without one, when the next picture begins.

    A picture with lost packets is `damaged`; the decoder conceals what it can.
    """

    def __init__(self, depacketizer: Depacketizer) -> None:
        self._depacketizer = depacketizer
        self._units: list[tuple[bytes, NalKind]] = []
        self._bytes = 0
        self._timestamp: int | None = None
        self._last: int | None = None  # the time stamp of the last picture returned
        self._gap = False
        self._trusted = True
        self._mono = 0.0

    def push(self, packet: RtpPacket, *, mono: float) -> list[AccessUnit]:
        """The pictures completed by `packet`, which was read at `mono` (monotonic s); mostly none or one."""
        timestamp, gap = packet.timestamp, packet.gap
        self._gap |= gap  # the missing packets may be the end of the picture before or the beginning of this one
        done = [] if timestamp == self._timestamp else self._finished()
        self._timestamp, self._mono = timestamp, mono
        self._gap |= gap
        for unit in self._depacketizer.units(packet.payload, gap=gap):
            self._add(unit)
        if self._bytes > _MAX_BYTES or len(self._units) > _MAX_UNITS:
            self._units, self._bytes, self._gap = [], 0, True
        if packet.marker and self._trusted:
            done += self._finished()
        return done

    def _add(self, unit: bytes) -> None:
        kind = self._depacketizer.kind(unit)
        if kind.picture and not kind.first and self._timestamp == self._last:
            # Another part of the last picture: this camera sets the marker on each slice, so it is ignored from now on.
            self._trusted = False
        self._units.append((unit, kind))
        self._bytes += len(unit)

    def _finished(self) -> list[AccessUnit]:
        """The picture so far; parameter sets without a picture are kept for the next."""
        pictures = [kind for _, kind in self._units if kind.picture]
        if not pictures or self._timestamp is None:
            return []
        # Read in any case: reading resets it.
        damaged = self._depacketizer.damaged
        unit = AccessUnit(
            data=b"".join(START + unit for unit, _ in self._units),
            parameters=b"".join(START + unit for unit, kind in self._units if kind.parameters),
            timestamp=self._timestamp,
            mono=self._mono,
            key=any(kind.key for kind in pictures),
            reference=any(kind.reference for kind in pictures),
            damaged=damaged or self._gap,
        )
        self._last = self._timestamp
        self._units, self._bytes, self._gap = [], 0, False
        return [unit]
