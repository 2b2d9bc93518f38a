"""NAL units: what a codec's depacketiser gives and what is to be known of each unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

START = b"\x00\x00\x00\x01"
_START = re.compile(rb"\x00{2,}\x01")


@dataclass(frozen=True, slots=True, kw_only=True)
class NalKind:
    """`picture`: it holds a part of one; `first`: the first part. `key`: decodable without others before it.

    `reference`: others may need it. `parameters`: a parameter set.
    """

    picture: bool
    first: bool
    key: bool
    reference: bool
    parameters: bool


class Depacketizer(Protocol):
    """One codec's RTP payload format."""

    def units(self, payload: bytes, *, gap: bool) -> list[bytes]:
        """The NAL units that are whole with this payload, without start codes.

        After a `gap` the unit in progress is given up.
        """
        ...

    def kind(self, unit: bytes) -> NalKind: ...

    @property
    def damaged(self) -> bool:
        """Whether a unit was given up since this was last asked."""
        ...


def aggregated(payload: bytes, start: int) -> list[bytes] | None:
    """The units of an aggregation packet, each behind its length (16 bits); None where they do not fit."""
    units = []
    while start + 2 <= len(payload):
        end = start + 2 + int.from_bytes(payload[start : start + 2], "big")
        if end > len(payload):
            return None
        units.append(payload[start + 2 : end])
        start = end
    return [unit for unit in units if unit]


def split(payload: bytes) -> list[bytes]:
    """A single unit, or the units of a sender that left the start codes in."""
    if not payload.startswith((b"\x00\x00\x01", START)):
        return [payload]
    return [unit for unit in _START.split(payload) if unit]


class Fragments:
    """Puts a fragmented unit together again."""

    def __init__(self) -> None:
        self._unit: bytearray | None = None
        self.damaged = False

    def give_up(self) -> None:
        if self._unit is not None:
            self._unit, self.damaged = None, True

    def add(self, header: bytes, data: bytes, *, start: bool, end: bool) -> list[bytes]:
        if start:
            self.give_up()
            self._unit = bytearray(header)
        if self._unit is None:
            self.damaged = True  # its beginning is lost
            return []
        self._unit += data
        if not end:
            return []
        unit, self._unit = bytes(self._unit), None
        return [unit]
