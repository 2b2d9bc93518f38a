"""Judges and times networks in ONNX Runtime, which is what runs them later, and not in PyTorch."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from detector.core.progress import Progress
from detector.core.types import ArrayImage
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.models.accuracy.average_precision import EVALUATION_FLOOR, Evaluation, evaluate
from detector.models.accuracy.gate import LabelledPictures
from detector.optimize.export.trace import trace
from detector.optimize.export.traceable import from_ultralytics

_ROUNDS = 30


def to_onnx(model: Any, path: Path, size: tuple[int, int]) -> Path:
    """Writes the network for pictures of `size` (w, h px); only judged and timed, so it is not compared with PyTorch."""
    network = from_ultralytics(copy.deepcopy(model), head=None, person_only=False)
    onnx.save(trace(network, width=size[0], height=size[1], batch=1), str(path))
    return path


def accuracy(path: Path, truth: LabelledPictures, report: Progress) -> Evaluation:
    """On the pictures that judge."""
    with closing(load_detector(path=path, name=path.stem, backend="onnxruntime", score_floor=EVALUATION_FLOOR)) as one:
        return evaluate(
            detector=one, images=truth.images, annotations=truth.annotations, only=truth.only, progress=report
        )


def speeds(before: Path, after: Path, report: Progress) -> dict[str, float]:
    """Median ms of the bare model on one thread, `before` and `after` taken in turns."""
    pair = {
        name: load_detector(path=path, name=name, backend="onnxruntime", threads=1)
        for name, path in (("before", before), ("after", after))
    }
    try:
        return _in_turns(pair, report)
    finally:
        for detector in pair.values():
            detector.close()


def _in_turns(pair: Mapping[str, PersonDetector], report: Progress) -> dict[str, float]:
    picture = ArrayImage(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8))
    for detector in pair.values():
        detector.detect_image(picture)
    times: dict[str, list[float]] = {name: [] for name in pair}
    for done in range(_ROUNDS):
        report(done, _ROUNDS, "timing")
        for name, detector in pair.items():
            times[name].append(detector.run_bare())
    return {name: round(statistics.median(values), 3) for name, values in times.items()}
