"""H.265 over RTP (RFC 7798): single NAL units, AP and FU; unit types of ITU-T H.265, table 7-1."""

from __future__ import annotations

from .nal import Depacketizer, NalKind

_FIRST_KEY, _LAST_KEY, _LAST_PICTURE, _VPS, _PPS = 16, 23, 31, 32, 34
_RESERVED_NON_REFERENCE = 14


class H265(Depacketizer):
    """Depacketises streams without decoding order numbers (sprop-max-don-diff 0), as cameras send them."""

    header, aggregation, fragment = 2, 48, 49

    @staticmethod
    def type_of(data: bytes) -> int:
        return data[0] >> 1 & 0x3F

    @staticmethod
    def unit_header(payload: bytes) -> bytes:
        return bytes((payload[0] & 0x81 | (payload[2] & 0x3F) << 1, payload[1]))

    def kind(self, unit: bytes) -> NalKind:
        kind = self.type_of(unit)
        picture = kind <= _LAST_PICTURE
        return NalKind(
            picture=picture,
            first=picture and len(unit) > 2 and unit[2] >= 0x80,  # first_slice_segment_in_pic_flag
            key=_FIRST_KEY <= kind <= _LAST_KEY,
            # Up to there, no picture of the same temporal layer depends on those with even numbers.
            reference=kind > _RESERVED_NON_REFERENCE or kind % 2 == 1,
            parameters=_VPS <= kind <= _PPS,
        )
