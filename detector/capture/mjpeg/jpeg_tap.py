"""JPEG pictures as a stream of coded pictures, each a key frame."""

from __future__ import annotations

from detector.capture.packets import TICKS, PacketTap, StreamFormat
from detector.capture.picture_size import jpeg_size


class JpegTap:
    """Hands one connection's JPEG pictures to `tap`, stamped by when they were read."""

    def __init__(self, tap: PacketTap) -> None:
        self._tap = tap
        self._last: int | None = None
        tap.begin()

    def put(self, picture: bytes, *, mono: float) -> None:
        try:
            width, height = jpeg_size(picture)
        except ValueError:
            return  # what is no JPEG is no part of a clip either
        pts = round(mono * TICKS)
        if self._last is not None:
            pts = max(pts, self._last + 1)  # several may be read at once
        self._last = pts
        form = StreamFormat(codec="mjpeg", extradata=b"", width=width, height=height)
        self._tap.put(form, picture, pts=pts, mono=mono, key=True)
