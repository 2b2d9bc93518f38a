"""NAL units out of RTP payloads: what the depacketisers of both codecs share, and the properties of a unit."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

START = b"\x00\x00\x00\x01"
_MAX_UNIT = 1 << 24  # bytes; a fragmented unit that is longer never ends
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


class Depacketizer(ABC):
    """One codec's RTP payload format: single units, aggregation packets, fragmented units."""

    header: ClassVar[int]
    """Bytes of a unit's header."""
    aggregation: ClassVar[int]
    fragment: ClassVar[int]
    """Types of the payloads that are not single units; single ones have lower types than `aggregation`."""

    def __init__(self) -> None:
        self._unit: bytearray | None = None
        self._damaged = False

    @staticmethod
    @abstractmethod
    def type_of(data: bytes) -> int:
        """The type in a unit's or payload's header."""

    @staticmethod
    @abstractmethod
    def unit_header(payload: bytes) -> bytes:
        """The header of the unit that a fragment's `payload` is a part of."""

    @abstractmethod
    def kind(self, unit: bytes) -> NalKind: ...

    @property
    def damaged(self) -> bool:
        """Whether a unit was given up since this was last asked."""
        damaged, self._damaged = self._damaged, False
        return damaged

    def units(self, payload: bytes, *, gap: bool) -> list[bytes]:
        """The NAL units completed by this payload, without start codes.

        After a `gap` the incomplete unit is dropped.
        """
        kind = self.type_of(payload)
        if gap or kind != self.fragment:
            self._give_up()
        if kind == self.fragment:
            return self._add(payload)
        if kind == self.aggregation:
            units = _aggregated(payload, self.header)
            self._damaged |= units is None
            return units or []
        return _split(payload) if kind < self.aggregation else []

    def _add(self, payload: bytes) -> list[bytes]:
        """The fragmented unit, once its last part is there; the byte behind the header marks the first and the last."""
        if len(payload) <= self.header:
            return []
        if payload[self.header] & 0x80:
            self._give_up()
            self._unit = bytearray(self.unit_header(payload))
        if self._unit is None:
            self._damaged = True  # its beginning is lost
            return []
        self._unit += payload[self.header + 1 :]
        if len(self._unit) > _MAX_UNIT:
            self._give_up()
            return []
        if not payload[self.header] & 0x40:
            return []
        unit, self._unit = bytes(self._unit), None
        return [unit]

    def _give_up(self) -> None:
        if self._unit is not None:
            self._unit, self._damaged = None, True


def _aggregated(payload: bytes, start: int) -> list[bytes] | None:
    """The units of an aggregation packet, each behind its length (16 bits); None where they do not fit."""
    units = []
    while start + 2 <= len(payload):
        end = start + 2 + int.from_bytes(payload[start : start + 2], "big")
        if end > len(payload):
            return None
        units.append(payload[start + 2 : end])
        start = end
    return [unit for unit in units if unit]


def _split(payload: bytes) -> list[bytes]:
    """A single unit, or the units of a sender that left the start codes in."""
    if not payload.startswith((b"\x00\x00\x01", START)):
        return [payload]
    return [unit for unit in _START.split(payload) if unit]
