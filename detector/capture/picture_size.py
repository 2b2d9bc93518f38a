"""A coded stream's picture size out of its own headers, since nothing here is decoded.

Sequence parameter sets of ITU-T H.264 (7.3.2.1.1) and H.265 (7.3.2.2.1), frame headers of JPEG (ITU-T T.81, B.2.2).
"""

from __future__ import annotations

Size = tuple[int, int]  # width, height in px
_HIGH = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))  # profiles that name their chroma
_MAX_SIDE = 16_384
_MAX_ZEROS = 32
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class _Bits:
    """The bits of a unit, without the bytes that keep start codes out of it; ValueError behind its end."""

    def __init__(self, unit: bytes) -> None:
        data = unit.replace(b"\x00\x00\x03", b"\x00\x00")
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("the parameter set is cut short")
        return self._value >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number (H.264, 9.1)."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > _MAX_ZEROS:
                raise ValueError("the parameter set is damaged")
        return (1 << zeros) - 1 + self.read(zeros)

    def signed(self) -> int:
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -code // 2


def h264_size(sps: bytes) -> Size:
    """Of a sequence parameter set without its start code; ValueError for a broken one."""
    bits = _Bits(sps[1:])
    profile = bits.read(8)
    bits.read(16)
    bits.golomb()
    chroma = _h264_chroma(bits) if profile in _HIGH else 1
    bits.golomb()
    _skip_order_count(bits)
    bits.golomb()
    bits.read(1)
    width, rows = bits.golomb() + 1, bits.golomb() + 1
    frames_only = bits.read(1)
    bits.read(1 if frames_only else 2)
    lines = 2 - frames_only
    cut = [bits.golomb() for _ in range(4)] if bits.read(1) else [0] * 4
    across, down = {0: (1, lines), 1: (2, 2 * lines), 2: (2, lines)}.get(chroma, (1, lines))
    return _sound(16 * width - across * (cut[0] + cut[1]), 16 * rows * lines - down * (cut[2] + cut[3]))


def _h264_chroma(bits: _Bits) -> int:
    chroma = bits.golomb()
    if chroma == 3:
        bits.read(1)
    bits.golomb()
    bits.golomb()
    bits.read(1)
    if bits.read(1):
        for number in range(12 if chroma == 3 else 8):
            if bits.read(1):
                _skip_scaling_list(bits, 16 if number < 6 else 64)
    return chroma


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _skip_order_count(bits: _Bits) -> None:
    kind = bits.golomb()
    if kind == 0:
        bits.golomb()
    elif kind == 1:
        bits.read(1)
        bits.signed()
        bits.signed()
        for _ in range(min(bits.golomb(), 255)):
            bits.signed()


def h265_size(sps: bytes) -> Size:
    """Of a sequence parameter set without its start code; ValueError for a broken one."""
    bits = _Bits(sps[2:])
    bits.read(4)
    layers = bits.read(3)
    bits.read(1 + 96)  # nesting; the profile, tier and level of all layers
    present = [(bits.read(1), bits.read(1)) for _ in range(layers)]
    if layers:
        bits.read(2 * (8 - layers))
    for profile, level in present:
        bits.read(88 * profile + 8 * level)
    bits.golomb()
    chroma = bits.golomb()
    if chroma == 3:
        bits.read(1)
    width, height = bits.golomb(), bits.golomb()
    cut = [bits.golomb() for _ in range(4)] if bits.read(1) else [0] * 4
    across, down = {1: (2, 2), 2: (2, 1)}.get(chroma, (1, 1))
    return _sound(width - across * (cut[0] + cut[1]), height - down * (cut[2] + cut[3]))


def jpeg_size(picture: bytes) -> Size:
    """Of a JPEG; ValueError for what is none."""
    at = 2
    while at + 9 <= len(picture):
        if picture[at] != 0xFF:
            break
        kind = picture[at + 1]
        if kind in _JPEG_FRAMES:
            return _sound(
                int.from_bytes(picture[at + 7 : at + 9], "big"), int.from_bytes(picture[at + 5 : at + 7], "big")
            )
        at += 1 if kind == 0xFF else 2 + int.from_bytes(picture[at + 2 : at + 4], "big")
    raise ValueError("no JPEG frame header")


def _sound(width: int, height: int) -> Size:
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise ValueError("no picture has this size")
    return width, height
