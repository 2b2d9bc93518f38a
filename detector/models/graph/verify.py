"""Compares two model files: whether they find exactly the same persons in the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.core.types import ArrayImage, Image
from detector.inference.factory import load_detector
from detector.inference.spec import InputSpec

EXACT_PX, EXACT_SCORE = 0.01, 1e-5
"""The difference allowed for another order of float additions, if a convolution has fewer channels; usually none."""

_FLOOR = 0.01  # YOLOX's own NMS drops what is below
_GENERATED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Over all pictures: persons compared, persons of only one model, largest differences in px and score."""

    persons: int
    missing: int
    extra: int
    px: float
    score: float

    @property
    def exact(self) -> bool:
        """Every person of the first model is in the second, the same. More unsure ones than it are allowed:
        an end-to-end model gives 300 rows for all classes together, its person-only form for persons alone.
        """
        return self.missing == 0 and self.px <= EXACT_PX and self.score <= EXACT_SCORE


def difference(
    first: Path, second: Path, pictures: Sequence[Image] = (), *, spec: InputSpec | None = None, floor: float = _FLOOR
) -> Difference:
    """Run both models, with one thread each; without `pictures` on generated ones, which show less.

    Both must have the same input size for equal results. Raises ModelError, InferenceError.
    """
    one, other = (
        load_detector(path=path, name=path.name, spec=spec, threads=1, score_floor=floor) for path in (first, second)
    )
    try:
        compared = missing = extra = 0
        px = score = 0.0
        for picture in pictures or _generated(one.input_size):
            (boxes, scores, _), (boxes2, scores2, _) = one.detect_image(picture), other.detect_image(picture)
            both = min(len(scores), len(scores2))
            compared, missing, extra = compared + both, missing + len(scores) - both, extra + len(scores2) - both
            px = max(px, float(np.abs(boxes[:both] - boxes2[:both]).max(initial=0.0)))
            score = max(score, float(np.abs(scores[:both] - scores2[:both]).max(initial=0.0)))
    finally:
        one.close()
        other.close()
    return Difference(persons=compared, missing=missing, extra=extra, px=px, score=score)


def _generated(size: tuple[int, int]) -> list[Image]:
    """Noise over upright blobs, the same each time: enough for low-score boxes above a low floor."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    pictures: list[Image] = []
    for _ in range(_GENERATED):
        light = random.normal(128.0, 8.0, (size[1], size[0], 3))
        for _ in range(6):
            x, y, wide = random.uniform(0, size[0]), random.uniform(0, size[1]), random.uniform(8, 40)
            blob = np.exp(-(((columns - x) / wide) ** 2) - ((rows - y) / (3 * wide)) ** 2)
            light += blob[:, :, None] * random.uniform(-120, 120, 3)
        pictures.append(ArrayImage(np.clip(light, 0, 255).astype(np.uint8)))
    return pictures
