"""Resizes a decoder's planes before colour conversion, which then has fewer pixels to convert.

From 1080p to 640x360: converting first takes about 1.2 ms of CPU, resizing the planes first 0.45.
"""

from __future__ import annotations

import cv2
import numpy as np

from .types import Pixels, Planes


class Shrinker:
    """Planes to BGR uint8 [height, width, 3] in a buffer of this object: the next call overwrites it."""

    def __init__(self, *, width: int, height: int) -> None:
        self._size = (width, height)
        self._even = width % 2 == 0 and height % 2 == 0  # required by OpenCV's I420
        self._bgr: Pixels = np.empty((height, width, 3), np.uint8)
        self._yuv: Pixels = np.empty((height * 3 // 2, width), np.uint8)
        self._parts: tuple[Pixels, ...] = ()
        if self._even:  # Y's lines, then all of U, then all of V below
            below = self._yuv[height:].reshape(2, height // 2, width // 2)
            self._parts = (self._yuv[:height], below[0], below[1])

    def __call__(self, planes: Planes) -> Pixels | None:
        """The picture; None if it must be converted first (OpenCV supports only BT.601 with limited range)."""
        usual = planes.matrix == "bt601" and not planes.full_range
        smaller = planes.width >= self._size[0] and planes.height >= self._size[1]
        if planes.format != "i420" or not (usual and smaller and self._even):
            return None
        for source, part in zip(planes.planes, self._parts, strict=True):
            cv2.resize(source, part.shape[::-1], dst=part, interpolation=cv2.INTER_LINEAR)
        cv2.cvtColor(self._yuv, cv2.COLOR_YUV2BGR_I420, dst=self._bgr)
        return self._bgr
