"""Clips of a lit scene in which a bright square stands at given places: made on the fly."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, FPS = 320, 240, 10


def square_at(at: int | None, *, number: int = 0) -> np.ndarray:
    """BGR uint8 [240,320,3]: a slope of light, a little sensor noise, a square 24 px wide at x = `at`."""
    light = np.add.outer(np.linspace(0, 60, HEIGHT), np.linspace(40, 140, WIDTH))
    light += np.random.default_rng(number).normal(0.0, 2.0, light.shape)
    if at is not None:
        light[120:180, at : at + 24] = 240.0
    return np.repeat(np.clip(light, 0, 255).astype(np.uint8)[:, :, None], 3, 2)


def clip(path: Path, places: Iterable[int | None], *, frozen: bool = False) -> Path:
    """One frame for each place, ten a second; a `frozen` camera's noise stands still too."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, at in enumerate(places):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(square_at(at, number=0 if frozen else number), "bgr24"))
            )
        container.mux(stream.encode())
    return path
