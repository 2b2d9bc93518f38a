"""H.264 over RTP (RFC 6184): single NAL units, STAP-A and FU-A; unit types of ITU-T H.264, table 7-1."""

from __future__ import annotations

from .nal import Depacketizer, NalKind

_IDR, _LAST_PICTURE, _SPS, _PPS = 5, 5, 7, 8


class H264(Depacketizer):
    """Depacketises packetization-mode 0 and 1; units of the interleaved mode are left out."""

    header, aggregation, fragment = 1, 24, 28

    @staticmethod
    def type_of(data: bytes) -> int:
        return data[0] & 0x1F

    @staticmethod
    def unit_header(payload: bytes) -> bytes:
        return bytes((payload[0] & 0xE0 | payload[1] & 0x1F,))

    def kind(self, unit: bytes) -> NalKind:
        kind = self.type_of(unit)
        picture = 1 <= kind <= _LAST_PICTURE
        return NalKind(
            picture=picture,
            # first_mb_in_slice is Exp-Golomb: 0 is a single set bit. Partitions B and C never are first.
            first=picture and kind not in (3, 4) and len(unit) > 1 and unit[1] >= 0x80,
            key=kind == _IDR,
            reference=unit[0] & 0x60 != 0,
            parameters=kind in (_SPS, _PPS),
        )
