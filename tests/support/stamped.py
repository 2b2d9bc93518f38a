"""Pictures that carry the time they were made, so that a test can tell a frame's true age.

The stamp is the machine's monotonic clock in milliseconds, as 32 black or white bars side by
side over the picture's whole height; bars survive coding, scaling and colour conversion. Plain Python:
the RTSP server that makes them runs under a Python without NumPy.
"""

from __future__ import annotations

import time
from typing import Any

BITS = 32


def bars(width: int, height: int, value: int) -> bytes:
    """A grey picture, `height` lines of `width` bytes, that carries `value`."""
    edges = [width * i // BITS for i in range(BITS + 1)]
    line = b"".join((b"\xeb" if value >> bit & 1 else b"\x10") * (edges[bit + 1] - edges[bit]) for bit in range(BITS))
    return line * height


def now_ms() -> int:
    return int(time.monotonic() * 1000) & 0xFFFFFFFF


def read_ms(luma: Any) -> int:
    """The stamp in `luma`, an array [height, width] or one channel of a colour picture."""
    height, width = luma.shape
    return sum(int(luma[height // 2, width * (2 * bit + 1) // (2 * BITS)] > 125) << bit for bit in range(BITS))


def age_s(luma: Any) -> float:
    """How long ago the picture was made."""
    return (now_ms() - read_ms(luma)) / 1000.0
