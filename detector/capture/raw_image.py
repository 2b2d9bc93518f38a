"""Pictures that keep their source's planes, converted on the CPU only when BGR is needed."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from detector.core.types import Pixels, Planes

_PACKED = {"yuyv": cv2.COLOR_YUV2BGR_YUY2, "i420": cv2.COLOR_YUV2BGR_I420}


class RawImage:
    """An Image of NV12, YUYV or I420 `planes` with even sizes; BGR is made once, at the first call.

    OpenCV converts with BT.601 limited range, whatever `planes` declare. Thread-safe: at worst two threads convert
    the same picture at once.
    """

    def __init__(self, planes: Planes) -> None:
        self._planes = planes
        self._bgr: Pixels | None = None

    @property
    def width(self) -> int:
        return self._planes.width

    @property
    def height(self) -> int:
        return self._planes.height

    def planes(self) -> Planes:
        return self._planes

    def bgr(self) -> Pixels:
        if self._bgr is None:
            pixels = self._converted()
            pixels.flags.writeable = False  # a writer would change what other readers of the frame see
            self._bgr = pixels
        return self._bgr

    def luma(self) -> Pixels:
        first = self._planes.planes[0]
        return first[:, 0 : 2 * self.width : 2] if self._planes.format == "yuyv" else first

    def _converted(self) -> Pixels:
        planes, width, height = self._planes.planes, self.width, self.height
        if self._planes.format == "nv12":
            chroma = np.ascontiguousarray(planes[1]).reshape(height // 2, width // 2, 2)
            luma = np.ascontiguousarray(planes[0])
            return cast("Pixels", cv2.cvtColorTwoPlane(luma, chroma, cv2.COLOR_YUV2BGR_NV12))
        whole = planes[0] if self._planes.format == "yuyv" else np.concatenate([p.reshape(-1) for p in planes])
        packed = np.ascontiguousarray(whole).reshape((height, width, 2) if len(planes) == 1 else (-1, width))
        return cast("Pixels", cv2.cvtColor(packed, _PACKED[self._planes.format]))


def nv12_image(pixels: Pixels) -> RawImage:
    """NV12 as OpenCV's GStreamer gives it: uint8 [H * 3 / 2, W], interleaved chroma below."""
    rows, width = pixels.shape[:2]
    height = rows * 2 // 3
    whole = pixels.reshape(rows, width)
    return RawImage(Planes(format="nv12", width=width, height=height, planes=(whole[:height], whole[height:])))


def i420_image(pixels: Pixels) -> RawImage:
    """I420 as OpenCV's GStreamer gives it: uint8 [H * 3 / 2, W], U, then V below."""
    rows, width = pixels.shape[:2]
    height = rows * 2 // 3
    whole = pixels.reshape(-1)
    begin, size = height * width, height * width // 4
    chroma = [whole[at : at + size].reshape(height // 2, width // 2) for at in (begin, begin + size)]
    planes = (whole[:begin].reshape(height, width), *chroma)
    return RawImage(Planes(format="i420", width=width, height=height, planes=planes))


def yuyv_image(pixels: Pixels) -> RawImage:
    """YUYV as OpenCV gives it: uint8 [H, W, 2]."""
    height, width = pixels.shape[:2]
    return RawImage(Planes(format="yuyv", width=width, height=height, planes=(pixels.reshape(height, 2 * width),)))
