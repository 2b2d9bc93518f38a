"""Compares an exported model's results with PyTorch's, on pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.core.errors import InferenceError, ModelError
from detector.core.types import Floats, Image
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.decode import make_decoder
from detector.inference.layout import default_spec, find_layout
from detector.inference.preprocess import Letterbox

from .traceable import Rows

MAX_PX, MAX_SCORE = 0.05, 1e-4
"""What another order of float32 additions may cost: a twentieth of an input pixel, and a ten-thousandth in score.

The reference network stays under 1e-5; fine-tuned networks reach 2e-5, transformers more. That persons alone score as
they do among all classes is not judged by this: that edit computes the very same numbers.
"""

_SEEN = 0.05  # persons of this score must be in both; below, the choice of the best may cut off either's
_FULL_NMS = 1.0  # an IoU threshold that no box exceeds: all are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Over all pictures: persons compared, largest gaps in input px and in score, PyTorch's persons not found."""

    pictures: int
    persons: int
    missing: int
    px: float
    score: float

    @property
    def good(self) -> bool:
        return self.persons > 0 and self.missing == 0 and self.px <= MAX_PX and self.score <= MAX_SCORE


def agreement(path: Path, rows: Rows, pictures: Sequence[Image]) -> Agreement:
    """The ONNX model at `path` beside PyTorch's own `rows`, on the same tensors; raises ModelError.

    Every person that the file gives (at most 300 a picture, unsure ones too) is looked up among PyTorch's
    candidates, and every candidate of score 0.05 among the file's.
    """
    import torch

    backend = OnnxRuntimeBackend(path=path, threads=1)
    try:
        layout = find_layout(backend.inputs, backend.outputs, backend.metadata)
        decode = make_decoder(layout, iou=_FULL_NMS)
        spec = default_spec(layout)
        taken, planes = (
            Letterbox(width=layout.width, height=layout.height, spec=spec, pixels=pixels)
            for pixels in (layout.pixels, False)
        )
        compared = missing = 0
        px = score = 0.0
        for picture in pictures:
            found = decode(backend.run(taken(picture)[0]), 0.0)
            with torch.no_grad():
                every = [each.numpy().astype(np.float32) for each in rows(torch.from_numpy(planes(picture)[0].copy()))]
            px_gaps, score_gaps = _gaps(found, (every[0], every[1]))
            compared += len(found[1])
            px, score = max(px, px_gaps.max(initial=0.0)), max(score, score_gaps.max(initial=0.0))
            sure = every[1] >= _SEEN
            px_gaps, score_gaps = _gaps((every[0][sure], every[1][sure]), found)
            missing += int(((px_gaps > MAX_PX) | (score_gaps > MAX_SCORE)).sum())
    except InferenceError as error:
        raise ModelError(f"the exported model does not run: {error}") from None
    finally:
        backend.close()
    return Agreement(pictures=len(pictures), persons=compared, missing=missing, px=float(px), score=float(score))


def _gaps(some: tuple[Floats, Floats], others: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """For each of `some` the gaps [N] in px and in score to the one of `others` that is most like it; inf without any."""
    if not len(some[1]) or not len(others[1]):
        return (np.full(len(some[1]), np.inf, np.float32),) * 2
    px = np.abs(some[0][:, None] - others[0][None]).max(axis=2)
    score = np.abs(some[1][:, None] - others[1][None])
    best = (px / MAX_PX + score / MAX_SCORE).argmin(axis=1)
    each = np.arange(len(best))
    return px[each, best], score[each, best]
