"""Pictures that carry the time they were made, so that a test can tell a frame's true age.

The stamp is the machine's monotonic clock in milliseconds, as 32 black or white bars side by
side over the picture's whole height; bars survive coding, scaling and colour conversion, nearly always: six of
them are a check sum, so that a picture that a lossy codec smeared is known from one that came out of order.
Plain Python: the RTSP server that makes them runs under a Python without NumPy.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

BITS = 32
VALUE_BITS = 26  # of milliseconds: 18 hours


def bars(width: int, height: int, value: int) -> bytes:
    """A grey picture, `height` lines of `width` bytes, that carries `value`."""
    code = _coded(value)
    edges = [width * i // BITS for i in range(BITS + 1)]
    line = b"".join((b"\xeb" if code >> bit & 1 else b"\x10") * (edges[bit + 1] - edges[bit]) for bit in range(BITS))
    return line * height


def now_ms() -> int:
    return int(time.monotonic() * 1000) % (1 << VALUE_BITS)


def read_ms(luma: Any) -> int:
    """The stamp in `luma`, an array [height, width] or one channel of a colour picture, smeared or not."""
    return _read(luma) % (1 << VALUE_BITS)


def legible_ms(lumas: Iterable[Any]) -> list[int]:
    """The stamps of those that can be read beyond doubt."""
    return [code % (1 << VALUE_BITS) for code in map(_read, lumas) if _coded(code) == code]


def age_s(luma: Any) -> float:
    """How long ago the picture was made."""
    return (now_ms() - read_ms(luma)) % (1 << VALUE_BITS) / 1000.0


def _coded(value: int) -> int:
    low = value % (1 << VALUE_BITS)
    return low | low % 61 << VALUE_BITS  # a prime: a single wrong bar always shows


def _read(luma: Any) -> int:
    height, width = luma.shape
    return sum(int(luma[height // 2, width * (2 * bit + 1) // (2 * BITS)] > 125) << bit for bit in range(BITS))
