"""The sensitivity of each layer: the error in the detected persons if only that layer has fewer bits.

Signal to noise at the head's outputs was tried first: it ranks what breaks a network (YOLOX-nano's first layers), but
hardly sees the last convolutions, whose small errors move every box.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx

from detector.core.errors import InferenceError, ModelError
from detector.core.files import cache_dir, key_of, write_atomically
from detector.core.geometry import iou
from detector.core.progress import Progress, quiet
from detector.core.types import Floats, Image
from detector.inference.factory import load_detector
from detector.inference.spec import InputSpec
from detector.models.graph.edit import stepped

VERSION = 1
"""Of the measure: raised whenever it would give other numbers for the same model and pictures."""

Probe = Callable[["str | None"], onnx.ModelProto]
Detected = list[tuple[Floats, Floats]]
"""Boxes [N,4] and scores [N] for each picture."""

_FLOOR = 0.05  # unsure boxes tell of errors, too; they weigh by their score
_SAME_PERSON = 0.5  # IoU
_LOST = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """`error`: how far the persons' boxes (1 - IoU) and scores move with this layer alone made smaller; 2 for a person lost."""

    layer: str
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivitySet:
    """What to measure on; 8 pictures are enough to rank by. `key` names what else the figures hang on:

    model, pictures, calibration, form.
    """

    name: str
    spec: InputSpec | None
    pictures: Sequence[Image]
    key: str
    cache: Path | None = None


def measure(
    layers: Sequence[str], probe: Probe, sample: SensitivitySet, *, progress: Progress = quiet
) -> list[Sensitivity]:
    """Each of the `layers`' sensitivity, the most sensitive first; `probe` makes the model with that one alone smaller.

    What was measured under the sample's key is read from the cache (`sensitivity/KEY.json`). Raises ModelError
    where the pictures show nobody, InferenceError where the model itself does not run.
    """
    target = (sample.cache or cache_dir()) / "sensitivity" / f"{key_of(VERSION, sample.key)}.json"
    known: list[Sensitivity] = []
    with suppress(OSError, ValueError, TypeError):
        known = [Sensitivity(**entry) for entry in json.loads(target.read_text(encoding="utf-8"))]
    if [item.layer for item in known] != list(layers):
        known = list(_measured(layers, probe, sample, progress))
        with suppress(OSError):  # a cache that cannot be written costs the next run its time, nothing else
            write_atomically(target, json.dumps([asdict(item) for item in known], indent=1) + "\n")
    return sorted(known, key=lambda item: -item.error)


def _measured(layers: Sequence[str], probe: Probe, sample: SensitivitySet, progress: Progress) -> Iterable[Sensitivity]:
    with tempfile.TemporaryDirectory(prefix="detector-") as folder:
        path = Path(folder) / "probe.onnx"
        plain = _detect(probe(None), sample, path)
        if not any(len(scores) for _, scores in plain):
            raise ModelError(
                "the calibration pictures show nobody, so layers cannot be told apart: give some with persons"
            )
        for number, layer in enumerate(layers, start=1):
            try:
                moved = error(plain, _detect(probe(layer), sample, path))
            except (InferenceError, ModelError):  # nonsense instead of persons
                moved = _LOST
            yield Sensitivity(layer=layer, error=moved)
            progress(number, len(layers), "measuring each layer")


def _detect(model: onnx.ModelProto, sample: SensitivitySet, path: Path) -> Detected:
    # Marked as made here: its layout is its source's, even where the numbers of a broken layer would fit others as well.
    onnx.save(stepped(model, model, "one layer smaller"), str(path))
    with closing(load_detector(path=path, name=sample.name, spec=sample.spec, score_floor=_FLOOR)) as detector:
        return [detector.detect_image(picture)[:2] for picture in sample.pictures]


def error(plain: Detected, found: Detected) -> float:
    """Mean over the persons of `plain`, weighted by their scores: 1 - IoU and score's change of the nearest in `found`."""
    total = weight = 0.0
    for (boxes, scores), (others, other_scores) in zip(plain, found, strict=True):
        overlaps = iou(boxes, others)
        for row, score in enumerate(scores):
            best = int(np.argmax(overlaps[row])) if len(others) else -1
            lost = best < 0 or overlaps[row, best] < _SAME_PERSON
            moved = _LOST if lost else 1.0 - overlaps[row, best] + abs(float(score) - float(other_scores[best]))
            total, weight = total + moved * float(score), weight + float(score)
    return float(total / weight)
