"""A decoder's frame as an Image: planes stay as they are until somebody needs pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from detector.types import Pixels

if TYPE_CHECKING:
    from av import VideoFrame

# Plane 0 is one byte of brightness a pixel.
_LUMA_FIRST = frozenset(
    f"{prefix}{layout}" for prefix in ("yuv", "yuvj") for layout in ("420p", "422p", "440p", "444p", "411p", "410p")
) | frozenset(("nv12", "nv21", "nv16", "nv24", "gray"))
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG: 0..255, not 16..235


class AvImage:
    """`frame`, turned upright as its metadata asks; conversions are done once, at the first call.

    Safe to share between threads: at worst two of them convert the same picture at once.
    """

    __slots__ = ("_bgr", "_frame", "_luma", "_turns")

    def __init__(self, frame: VideoFrame) -> None:
        self._frame = frame
        self._bgr: Pixels | None = None
        self._luma: Pixels | None = None
        # Quarter turns, counter-clockwise; the first releases of PyAV 14 do not tell.
        self._turns = round(getattr(frame, "rotation", 0) / 90) % 4

    @property
    def width(self) -> int:
        return self._frame.height if self._turns % 2 else self._frame.width

    @property
    def height(self) -> int:
        return self._frame.width if self._turns % 2 else self._frame.height

    def bgr(self) -> Pixels:
        if self._bgr is None:
            self._bgr = self._finish(self._converted("bgr24"), contiguous=True)
        return self._bgr

    def luma(self) -> Pixels:
        if self._luma is None:
            self._luma = self._finish(self._luma_plane(), contiguous=False)
        return self._luma

    def _luma_plane(self) -> Pixels:
        frame = self._frame
        if frame.format.name not in _LUMA_FIRST or frame.planes[0].line_size < frame.width:
            return self._converted("gray")
        plane = frame.planes[0]
        # Lines are padded for SIMD; the view holds the plane, and so the decoder's buffer, alive.
        lines = np.frombuffer(memoryview(plane), np.uint8, count=plane.line_size * frame.height)
        return lines.reshape(frame.height, plane.line_size)[:, : frame.width]

    def _converted(self, target: str) -> Pixels:
        if self._frame.color_range == _FULL_RANGE:
            # Said aloud: releases of PyAV differ in whether they look at the frame's own range.
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
