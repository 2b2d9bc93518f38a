"""H.265 over RTP (RFC 7798): single NAL units, AP and FU; unit types of ITU-T H.265, table 7-1."""

from __future__ import annotations

from .nal import Fragments, NalKind, aggregated, split

_FIRST_KEY, _LAST_KEY, _LAST_PICTURE, _VPS, _PPS, _AP, _FU = 16, 23, 31, 32, 34, 48, 49
_RESERVED_NON_REFERENCE = 14


class H265:
    """Depacketises streams without decoding order numbers (sprop-max-don-diff 0), as cameras send them."""

    def __init__(self) -> None:
        self._fragments = Fragments()

    @property
    def damaged(self) -> bool:
        damaged, self._fragments.damaged = self._fragments.damaged, False
        return damaged

    def units(self, payload: bytes, *, gap: bool) -> list[bytes]:
        kind = payload[0] >> 1 & 0x3F
        if gap or kind != _FU:
            self._fragments.give_up()
        if kind == _FU:
            return self._fragment(payload)
        if kind == _AP:
            units = aggregated(payload, 2)
            self._fragments.damaged |= units is None
            return units or []
        return split(payload) if kind < _AP else []

    def kind(self, unit: bytes) -> NalKind:
        kind = unit[0] >> 1 & 0x3F
        picture = kind <= _LAST_PICTURE
        return NalKind(
            picture=picture,
            first=picture and len(unit) > 2 and unit[2] >= 0x80,  # first_slice_segment_in_pic_flag
            key=_FIRST_KEY <= kind <= _LAST_KEY,
            # Up to there, no picture of the same temporal layer depends on those with even numbers.
            reference=kind > _RESERVED_NON_REFERENCE or kind % 2 == 1,
            parameters=_VPS <= kind <= _PPS,
        )

    def _fragment(self, payload: bytes) -> list[bytes]:
        if len(payload) < 3:
            return []
        header = bytes((payload[0] & 0x81 | (payload[2] & 0x3F) << 1, payload[1]))
        return self._fragments.add(header, payload[3:], start=payload[2] & 0x80 != 0, end=payload[2] & 0x40 != 0)
