"""A decoder's frame as an Image: planes are converted only when pixels are needed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

import numpy as np

from detector.core.types import Pixels, PlaneFormat, Planes

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.plane import VideoPlane

# Plane 0 is one byte of brightness a pixel.
_LUMA_FIRST = frozenset(
    f"{prefix}{layout}" for prefix in ("yuv", "yuvj") for layout in ("420p", "422p", "440p", "444p", "411p", "410p")
) | frozenset(("nv12", "nv21", "nv16", "nv24", "gray"))
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG: 0..255, not 16..235
_BT709 = 1  # AVCOL_SPC_BT709; if a stream does not say, FFmpeg's conversion uses BT.601
_SHOWN: dict[str, PlaneFormat] = {"yuv420p": "i420", "yuvj420p": "i420", "nv12": "nv12"}


class AvImage:
    """`frame`, rotated as its metadata says; conversions are done once, at the first call.

    Thread-safe: one thread converts at a time. A frame of PyAV has one scaler, and two threads in it at once (a
    snapshot and the live picture of the same frame) crash the process or hang.
    """

    __slots__ = ("_bgr", "_frame", "_lock", "_luma", "_turns")

    def __init__(self, frame: VideoFrame) -> None:
        self._frame = frame
        self._bgr: Pixels | None = None
        self._luma: Pixels | None = None
        self._lock = threading.Lock()
        # Quarter turns, counter-clockwise; the first releases of PyAV 14 do not have it.
        self._turns = round(getattr(frame, "rotation", 0) / 90) % 4

    @property
    def width(self) -> int:
        return self._frame.height if self._turns % 2 else self._frame.width

    @property
    def height(self) -> int:
        return self._frame.width if self._turns % 2 else self._frame.height

    def bgr(self) -> Pixels:
        with self._lock:
            if self._bgr is None:
                self._bgr = self._finish(self._converted("bgr24"), contiguous=True)
            return self._bgr

    def luma(self) -> Pixels:
        with self._lock:
            if self._luma is None:
                self._luma = self._finish(self._luma_plane(), contiguous=False)
            return self._luma

    def planes(self) -> Planes | None:
        frame = self._frame
        known = _SHOWN.get(frame.format.name)
        if known is None or self._turns:
            return None
        sizes = [(frame.height, frame.width), *[(-(-frame.height // 2), -(-frame.width // 2))] * 2]
        if known == "nv12":
            sizes = [sizes[0], (sizes[1][0], 2 * sizes[1][1])]
        planes = frame.planes
        if any(plane.line_size < row for plane, (_, row) in zip(planes, sizes, strict=True)):
            return None  # a negative line size means upside down
        return Planes(
            format=known,
            width=frame.width,
            height=frame.height,
            planes=tuple(_lines(plane, *size) for plane, size in zip(planes, sizes, strict=True)),
            matrix="bt709" if frame.colorspace == _BT709 else "bt601",
            full_range=frame.color_range == _FULL_RANGE or frame.format.name == "yuvj420p",
        )

    def _luma_plane(self) -> Pixels:
        frame, width = self._frame, self._frame.width
        if frame.format.name not in _LUMA_FIRST or (plane := frame.planes[0]).line_size < width:
            return self._converted("gray")
        return _lines(plane, frame.height, width)

    def _converted(self, target: str) -> Pixels:
        if self._frame.color_range == _FULL_RANGE:
            # Explicitly: releases of PyAV differ in whether they use the frame's own range.
            pixels = self._frame.to_ndarray(format=target, src_color_range=_FULL_RANGE, dst_color_range=_FULL_RANGE)
        else:
            pixels = self._frame.to_ndarray(format=target)
        return cast("Pixels", pixels)

    def _finish(self, pixels: Pixels, *, contiguous: bool) -> Pixels:
        if self._turns:
            pixels = np.rot90(pixels, self._turns)
        pixels = np.ascontiguousarray(pixels) if contiguous else pixels[:]
        pixels.flags.writeable = False  # a writer would change what other readers of the frame see
        return pixels


def _lines(plane: VideoPlane, rows: int, row: int) -> Pixels:
    line = plane.line_size
    # Lines are padded for SIMD; the view keeps the plane, and so the decoder's buffer, alive.
    return np.frombuffer(memoryview(plane), np.uint8, count=line * rows).reshape(rows, line)[:, :row]
