"""Clips and pictures made on the fly; nothing is stored."""

from __future__ import annotations

import wave
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from .stamped import bars


def clip(
    path: Path,
    *,
    frames: int = 20,
    width: int = 320,
    height: int = 240,
    fps: int = 25,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    pts: Sequence[int] | None = None,
    full_range: bool = False,
    grey: int | None = None,
) -> Path:
    """A clip whose frame number i carries the bars of i (see `stamped`), or is all of one `grey`.

    `pts` in units of 1/1000 s makes the frame rate variable.
    """
    base = Fraction(1, 1000) if pts else Fraction(1, fps)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=dict(options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = base
        if full_range:
            stream.codec_context.color_range = 2
        for i in range(frames):
            picture = (
                np.frombuffer(bars(width, height, i), np.uint8).reshape(height, width)
                if grey is None
                else np.full((height, width), grey, np.uint8)
            )
            frame = av.VideoFrame.from_ndarray(picture, "gray")
            if full_range:
                frame.color_range = 2
            frame.pts, frame.time_base = (pts[i] if pts else i), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def sound(path: Path) -> Path:
    """A second of silence, as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    return path


def turned(path: Path, degrees_clockwise: int) -> Path:
    """The MP4 at `path`, marked to be shown turned, as a phone held upright marks its clips."""
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees_clockwise]
    matrix = b"".join(
        (value * unit).to_bytes(4, "big", signed=True)
        for value, unit in zip((cos, sin, 0, -sin, cos, 0, 0, 0, 1), (1 << 16, 1 << 16, 1 << 30) * 3, strict=True)
    )
    data = bytearray(path.read_bytes())
    # Track header, version 0: 4 bytes of name, then 40 bytes before the display matrix (ISO 14496-12, 8.3.2).
    start = data.index(b"tkhd") + 4 + 40
    data[start : start + len(matrix)] = matrix
    path.write_bytes(bytes(data))
    return path
