"""The candidates: ways to run one model on a CPU, and those that a config allows."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from detector.config.model_settings import Model
from detector.inference.backends.base import usable_threads

CandidateBackend = Literal["onnxruntime", "openvino"]
CandidatePrecision = Literal["fp32", "half", "int8", "int8-mixed"]
"""`half` is bfloat16 if the CPU has it, else float16; `int8-mixed` keeps the last two layers in floating point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to run a model. `threads` 0: the usable cores, at most 4."""

    backend: CandidateBackend = "onnxruntime"
    precision: CandidatePrecision = "fp32"
    threads: int = 0

    @property
    def exact(self) -> bool:
        """Whether it is the reference, with any number of threads: its results are the same."""
        return self.backend == "onnxruntime" and self.precision == "fp32"

    @property
    def calibrated(self) -> bool:
        """Whether it is calibrated on pictures."""
        return self.precision in ("int8", "int8-mixed")

    def __str__(self) -> str:
        threads = usable_threads(self.threads)
        return f"{self.backend} {self.precision}, {threads} thread{'' if threads == 1 else 's'}"


def openvino_there() -> bool:
    return importlib.util.find_spec("openvino") is not None


def candidates(model: Model, *, calibrated: bool, openvino: bool) -> list[Candidate]:
    """The candidates that the settings `model` allow, the reference first."""
    if model.backend != "auto":
        backend: CandidateBackend = "openvino" if model.backend == "openvino" else "onnxruntime"
        precision: CandidatePrecision = "half" if model.precision == "fp16" and backend == "openvino" else "fp32"
        return [Candidate(backend=backend, precision=precision, threads=count) for count in _threads(model)]
    return list(dict.fromkeys(_forms(model, calibrated=calibrated, openvino=openvino)))


def counts_threads(model: Model) -> bool:
    """Whether a backend is configured, so that only the number of threads is to be measured."""
    return model.backend in get_args(CandidateBackend) and model.threads == 0 and usable_threads(0) > 1


def _threads(model: Model) -> tuple[int, ...]:
    most = usable_threads(0)
    return (model.threads,) if model.threads else tuple(sorted({1, min(2, most), most}))


def _forms(model: Model, *, calibrated: bool, openvino: bool) -> Iterator[Candidate]:
    threads = _threads(model)
    precisions: tuple[CandidatePrecision, ...] = ("fp32",)
    if model.precision == "auto":
        precisions = ("fp32", "half", "int8-mixed", "int8") if calibrated else ("fp32", "half")
    backends: tuple[CandidateBackend, ...] = ("onnxruntime", "openvino") if openvino else ("onnxruntime",)
    for precision in precisions:
        for backend in backends:
            if (backend, precision) == ("onnxruntime", "half"):
                continue  # its CPU kernels compute in fp32 anyway
            if (backend, precision) == ("openvino", "int8-mixed"):
                continue  # its own INT8 variant already leaves enough layers in floating point
            yield from (Candidate(backend=backend, precision=precision, threads=count) for count in threads)
