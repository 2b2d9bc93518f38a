"""The request for a study, and its baselines."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from detector.inference.input_sizes import InputSize
from detector.inference.spec import InputSpec

from .data import Calibration, EvaluationSet
from .grid import GridLimits
from .subject import Engine, StudySubject

ORT, EAGER, FOLDED, SAME_INPUT = "onnxruntime", "eager", "eager_folded", "eager_same_input"
BASELINES = {
    ORT: "ONNX Runtime FP32, the model as it is",
    EAGER: "PyTorch eager FP32, as loaded",
    FOLDED: "PyTorch eager FP32, normalisation folded into the convolutions",
    SAME_INPUT: "PyTorch eager FP32, as loaded, over the variant's own input size",
}
_LIBRARIES = ("onnxruntime", "openvino", "torch", "numpy", "opencv-python-headless", "onnx")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRequest:
    """`base` is the model's own input size; `max_drop` in AP points (hundredths of AP); `out` takes all results.

    `checkpoint` is the .pt that the model was exported from: PyTorch's baselines, which there are none of without.
    `candidates` are other files of the same network, pruned ones say, by name.
    """

    name: str
    path: Path
    sha256: str
    spec: InputSpec | None
    base: InputSize
    sets: Sequence[EvaluationSet]
    calibration: Calibration | None
    limits: GridLimits
    max_drop: float
    out: Path
    checkpoint: Path | None = None
    candidates: Mapping[str, Path] = field(default_factory=dict)
    rounds: int = 20


def versions() -> dict[str, str]:
    """Of the libraries that times depend on, where installed."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def baselines(request: StudyRequest, shape: InputSize, threads: int) -> dict[str, StudySubject]:
    """By name, for variants of the input size `shape`; PyTorch's where it is installed and there is a checkpoint."""

    def one(name: str, path: Path, engine: Engine, size: InputSize) -> StudySubject:
        label, spec = BASELINES[name], request.spec
        return StudySubject(label=label, path=str(path), engine=engine, threads=threads, shape=size, spec=spec)

    found = {ORT: one(ORT, request.path, "onnxruntime", request.base)}
    if request.checkpoint is not None and torch_there():
        found[EAGER] = one(EAGER, request.checkpoint, "checkpoint", request.base)
        found[FOLDED] = one(FOLDED, request.checkpoint, "checkpoint-folded", request.base)
        if shape != request.base:
            found[SAME_INPUT] = one(SAME_INPUT, request.checkpoint, "checkpoint", shape)
    return found


def torch_there() -> bool:
    """Whether PyTorch is installed; it is not imported to find out."""
    return find_spec("torch") is not None
