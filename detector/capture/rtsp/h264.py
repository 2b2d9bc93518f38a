"""H.264 over RTP (RFC 6184): single NAL units, STAP-A and FU-A; unit types of ITU-T H.264, table 7-1."""

from __future__ import annotations

from .nal import Fragments, NalKind, aggregated, split

_IDR, _LAST_PICTURE, _SPS, _PPS, _STAP_A, _FU_A = 5, 5, 7, 8, 24, 28


class H264:
    """Depacketises packetization-mode 0 and 1; units of the interleaved mode are left out."""

    def __init__(self) -> None:
        self._fragments = Fragments()

    @property
    def damaged(self) -> bool:
        damaged, self._fragments.damaged = self._fragments.damaged, False
        return damaged

    def units(self, payload: bytes, *, gap: bool) -> list[bytes]:
        kind = payload[0] & 0x1F
        if gap or kind != _FU_A:
            self._fragments.give_up()
        if kind == _FU_A:
            return self._fragment(payload)
        if kind == _STAP_A:
            units = aggregated(payload, 1)
            self._fragments.damaged |= units is None
            return units or []
        return split(payload) if kind < _STAP_A else []

    def kind(self, unit: bytes) -> NalKind:
        kind = unit[0] & 0x1F
        picture = 1 <= kind <= _LAST_PICTURE
        return NalKind(
            picture=picture,
            # first_mb_in_slice is Exp-Golomb: 0 is a single set bit. Partitions B and C never are first.
            first=picture and kind not in (3, 4) and len(unit) > 1 and unit[1] >= 0x80,
            key=kind == _IDR,
            reference=unit[0] & 0x60 != 0,
            parameters=kind in (_SPS, _PPS),
        )

    def _fragment(self, payload: bytes) -> list[bytes]:
        if len(payload) < 2:
            return []
        header = bytes((payload[0] & 0xE0 | payload[1] & 0x1F,))
        return self._fragments.add(header, payload[2:], start=payload[1] & 0x80 != 0, end=payload[1] & 0x40 != 0)
