"""A JPEG made small enough for a broker's limit."""

from __future__ import annotations

import cv2
import numpy as np

from detector.core.jpeg import encode_jpeg
from detector.core.types import ArrayImage

WIDTHS = (960, 800, 640, 480, 320, 160)  # px
SMALLEST = 1024  # bytes: below it nothing is to be seen any more


def fitted(jpeg: bytes, limit: int | None) -> bytes | None:
    """`jpeg`, or its picture at the largest width that takes at most `limit` bytes; None where none does."""
    if limit is None or len(jpeg) <= limit:
        return jpeg
    if limit < SMALLEST:
        return None
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        return None
    image = ArrayImage(np.asarray(pixels, np.uint8))
    for width in (one for one in WIDTHS if one < image.width):
        smaller = encode_jpeg(image, max_width=width)
        if len(smaller) <= limit:
            return smaller
    return None
