"""Pictures as decoders hold them."""

from __future__ import annotations

import cv2
import numpy as np

from detector.core.types import Pixels, Planes


def scene(width: int, height: int) -> Pixels:
    """Smooth in brightness and colour, as pictures mostly are: BGR."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = [128 + 90 * np.sin(x / width * a + y / height * b) for a, b in ((5, 3), (2, 7), (8, 1))]
    return np.stack(waves, axis=2).astype(np.uint8)


def planes(picture: Pixels, *, padded: int = 0) -> Planes:
    """As a decoder holds `picture`: I420, its lines padded."""
    height, width = picture.shape[:2]
    whole = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), np.uint8).reshape(-1)
    sizes = [(height, width), (height // 2, width // 2), (height // 2, width // 2)]
    parts: list[Pixels] = []
    for rows, row in sizes:
        held = np.full((rows, row + padded), 99, np.uint8)
        held[:, :row] = whole[: rows * row].reshape(rows, row)
        parts.append(held[:, :row])
        whole = whole[rows * row :]
    return Planes(format="i420", width=width, height=height, planes=tuple(parts))
