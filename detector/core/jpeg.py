"""Encodes frames as JPEG with boxes: for snapshots, live pictures and `detect --save`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .resize import Shrinker
from .types import Box, Image, Pixels, PlanarImage

_GREEN, _BLACK = (80, 220, 60), (0, 0, 0)
JPEG_QUALITY = 85  # 1080p in about 5 ms; above it the size grows without a visible difference
_SLOW_AREA = 2.0  # reduction up to which INTER_LINEAR is used: OpenCV 5's INTER_AREA takes 9 ms for 1080p
_SIZES = 4  # buffers per thread; each holds one small picture


class _Kept(threading.local):
    """The buffers of one thread."""

    def __init__(self) -> None:
        self.shrinkers: dict[tuple[int, int], Shrinker] = {}


_kept = _Kept()


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A box in source px and the text above it."""

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


def _shrinker(width: int, height: int) -> Shrinker:
    """The thread's Shrinker of that size; its buffer is reused, since fresh memory costs more than the resizing."""
    kept, size = _kept.shrinkers, (width, height)
    if size not in kept:
        if len(kept) >= _SIZES:
            kept.clear()
        kept[size] = Shrinker(width=width, height=height)
    return kept[size]


def _resized(image: Image, width: int, height: int) -> Pixels:
    """`image` in that smaller size; may be drawn on, and is valid until this thread's next call."""
    planes = image.planes() if isinstance(image, PlanarImage) else None
    pixels = _shrinker(width, height)(planes) if planes is not None else None
    if pixels is not None:
        return pixels
    how = cv2.INTER_LINEAR if image.width <= _SLOW_AREA * width else cv2.INTER_AREA
    return np.asarray(cv2.resize(image.bgr(), (width, height), interpolation=how), np.uint8)


def render(image: Image, labels: Sequence[Label] = (), *, max_width: int | None = None) -> Pixels:
    """BGR uint8 [H,W,3] of `image` with `labels`, at most `max_width` px wide; valid until this thread's next call."""
    scale = 1.0
    if max_width is not None and image.width > max_width:
        scale = max_width / image.width
        pixels = _resized(image, max_width, max(1, round(image.height * scale)))
    else:
        pixels = image.bgr().copy() if labels else image.bgr()
    for label in labels:
        _draw(pixels, label, scale)
    return pixels


def encode_jpeg(image: Image, labels: Sequence[Label] = (), *, max_width: int | None = None) -> bytes:
    """The result of `render` as JPEG bytes."""
    _, data = cv2.imencode(".jpg", render(image, labels, max_width=max_width), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(data)
