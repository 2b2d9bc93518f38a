"""The conditions under which bench.visits shows its scenes: light, lens, sensor noise and compression."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import cache

import av
import cv2
import numpy as np

from detector.core.types import Pixels

FPS = 10
LARGEST = (1920, 1080)
"""Width and height in px of the largest pictures."""
Change = Callable[[Pixels, int], Pixels]
"""A picture and its number to the picture under other conditions."""


def noise(pixels: Pixels, number: int, *, sigma: float) -> Pixels:
    """Sensor noise of `sigma` grey levels, another in each picture."""
    height, width = pixels.shape[:2]
    brighter, darker = _noise_planes(sigma)
    y, x = np.random.default_rng(number).integers(0, 64, 2)
    window = np.s_[y : y + height, x : x + width]
    return np.asarray(cv2.subtract(cv2.add(pixels, brighter[window]), darker[window]), np.uint8)


@cache
def _noise_planes(sigma: float) -> tuple[Pixels, Pixels]:
    grey = np.random.default_rng(0).normal(0.0, sigma, (LARGEST[1] + 64, LARGEST[0] + 64, 3))
    return np.clip(grey, 0, 255).astype(np.uint8), np.clip(-grey, 0, 255).astype(np.uint8)


def _dusk(pixels: Pixels, number: int) -> Pixels:
    curve = (np.linspace(0.0, 1.0, 256) ** 1.6 * 110.0).astype(np.uint8)
    return noise(np.asarray(cv2.LUT(pixels, curve), np.uint8), number, sigma=6.0)


def _infrared(pixels: Pixels, number: int) -> Pixels:
    """Grey, flat, with a bright middle: the lamp is beside the lens."""
    height, width = pixels.shape[:2]
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.float32)
    y, x = np.ogrid[-1.0 : 1.0 : height * 1j, -1.0 : 1.0 : width * 1j]
    lit = (60.0 + grey * 0.5) * (1.0 - 0.35 * (x * x + y * y))
    return noise(np.repeat(np.clip(lit, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2), number, sigma=5.0)


def _blurred(pixels: Pixels, number: int) -> Pixels:
    return noise(np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.3), np.uint8), number, sigma=2.0)


def _motion_blur(pixels: Pixels, number: int) -> Pixels:
    return noise(np.asarray(cv2.blur(pixels, (5, 1)), np.uint8), number, sigma=2.0)


def day(pixels: Pixels, number: int) -> Pixels:
    return noise(pixels, number, sigma=2.5)


CONDITIONS: dict[str, Change] = {
    "dusk": _dusk,
    "ir": _infrared,
    "blurred": _blurred,
    "motion-blur": _motion_blur,
    "compressed": day,
}


def under(condition: str, pictures: Callable[[], Iterator[Pixels]], seed: int) -> Iterator[Pixels]:
    change = CONDITIONS.get(condition, day)
    changed = (change(pixels, 1000 * seed + number) for number, pixels in enumerate(pictures()))
    return _compressed(changed) if condition == "compressed" else changed


def _compressed(pictures: Iterator[Pixels]) -> Iterator[Pixels]:
    """Through H.264 at a sub-stream's quality."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "35", "preset": "veryfast", "bf": "0"})
        for pixels in pictures:
            if not stream.codec_context.is_open:
                stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "bgr24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
