"""NAL units: the interface of a codec's depacketiser, and the properties of a unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

START = b"\x00\x00\x00\x01"
_START = re.compile(rb"\x00{2,}\x01")


@dataclass(frozen=True, slots=True, kw_only=True)
class NalKind:
    """`picture`: part of a picture; `first`: its first part. `key`: decodable without earlier pictures.

    `reference`: others may depend on it. `parameters`: a parameter set.
    """

    picture: bool
    first: bool
    key: bool
    reference: bool
    parameters: bool


class Depacketizer(Protocol):
    """One codec's RTP payload format."""

    def units(self, payload: bytes, *, gap: bool) -> list[bytes]:
        """The NAL units completed by this payload, without start codes.

        After a `gap` the incomplete unit is dropped.
        """
        ...

    def kind(self, unit: bytes) -> NalKind: ...

    @property
    def damaged(self) -> bool:
        """Whether a unit was dropped since this was last read."""
        ...


def aggregated(payload: bytes, start: int) -> list[bytes] | None:
    """The units of an aggregation packet, each after its length (16 bits); None if a length is wrong."""
    units = []
    while start + 2 <= len(payload):
        end = start + 2 + int.from_bytes(payload[start : start + 2], "big")
        if end > len(payload):
            return None
        units.append(payload[start + 2 : end])
        start = end
    return [unit for unit in units if unit]


def split(payload: bytes) -> list[bytes]:
    """A single unit, or several of a sender that sends start codes."""
    if not payload.startswith((b"\x00\x00\x01", START)):
        return [payload]
    return [unit for unit in _START.split(payload) if unit]


class Fragments:
    """Reassembles a fragmented unit."""

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
