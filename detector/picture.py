"""Frames to JPEG, boxes drawn: for snapshots, live pictures and `detect --save`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .types import Box, Image, Pixels

_GREEN, _BLACK = (80, 220, 60), (0, 0, 0)
JPEG_QUALITY = 85  # 1080p in about 5 ms; above it size grows faster than what an eye can tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A box in source px and the words above it."""

    box: Box
    text: str


def _draw(pixels: Pixels, label: Label, scale: float) -> None:
    x1, y1, x2, y2 = (round(v * scale) for v in label.box)
    size = max(0.4, pixels.shape[0] / 1200)
    cv2.rectangle(pixels, (x1, y1), (x2, y2), _GREEN, 2)
    (width, height), _ = cv2.getTextSize(label.text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    top = max(y1, height + 6)  # a person at the top edge keeps a readable label
    cv2.rectangle(pixels, (x1, top - height - 6), (x1 + width + 6, top), _GREEN, -1)
    cv2.putText(pixels, label.text, (x1 + 3, top - 4), cv2.FONT_HERSHEY_SIMPLEX, size, _BLACK, 1, cv2.LINE_AA)


def render(image: Image, labels: Sequence[Label] = (), *, max_width: int | None = None) -> Pixels:
    """A new BGR uint8 array [H,W,3] of `image` with `labels` drawn, at most `max_width` px wide."""
    pixels, scale = image.bgr(), 1.0
    if max_width is not None and image.width > max_width:
        scale = max_width / image.width
        size = (max_width, max(1, round(image.height * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    elif labels:
        pixels = pixels.copy()
    for label in labels:
        _draw(pixels, label, scale)
    return pixels


def encode_jpeg(image: Image, labels: Sequence[Label] = (), *, max_width: int | None = None) -> bytes:
    """`render` as JPEG bytes."""
    _, data = cv2.imencode(".jpg", render(image, labels, max_width=max_width), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(data)
