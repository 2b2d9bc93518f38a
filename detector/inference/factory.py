"""Loads a detector from a model file."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from detector.core.errors import ModelError
from detector.core.files import existing_file

from .backends.base import Backend, Precision
from .backends.onnxruntime import OnnxRuntimeBackend
from .backends.openvino import IR_SUFFIX, OpenVinoBackend
from .detector import PersonDetector
from .spec import InputSpec
from .tensorrt import gpu

log = logging.getLogger(__name__)

BackendName = Literal["auto", "tensorrt", "onnxruntime", "openvino"]


def load_detector(
    *,
    path: Path,
    name: str,
    spec: InputSpec | None = None,
    backend: BackendName = "auto",
    precision: Precision = "auto",
    threads: int = 0,
    score_floor: float = 0.1,
    judged: bool = True,
    said: Mapping[str, str] | None = None,
) -> PersonDetector:
    """The detector for the model at `path`, called `name`; raises ModelError in one line.

    `spec` None: the input that models of this layout are commonly trained with. `threads` 0: the usable cores, at most 4.
    `judged` False also opens an engine that the accuracy gate has not checked yet; only the gate itself may do that.
    `said` is laid over the file's metadata.
    """
    path = existing_file(path)
    said = said or {}
    if path.suffix == ".engine":
        engine = _open_engine(path, backend, precision, judged=judged)
    else:
        # OpenVINO makes the usual preparation part of the model: not where another is asked for.
        engine = _open(path, spec, backend, precision, threads, fold=not said)
    try:
        # An engine's manifest has the spec of the model that it was built from.
        spec = spec or getattr(engine, "spec", None)
        return PersonDetector(model_name=name, backend=engine, spec=spec, score_floor=score_floor, said=said)
    except ModelError as error:
        engine.close()
        raise ModelError(f"{path.name}: {error}") from None
    except BaseException:
        engine.close()
        raise


def open_backend(path: Path, *, spec: InputSpec | None = None) -> Backend:
    """The file in the runtime that `auto` takes, its outputs as they are; raises ModelError."""
    path = existing_file(path)
    if path.suffix == ".engine":
        return _open_engine(path, "auto", "auto", judged=False)
    return _open(path, spec, "auto", "auto", 1, fold=False)


def _open(
    path: Path,
    spec: InputSpec | None,
    backend: BackendName,
    precision: Precision,
    threads: int,
    *,
    fold: bool,
) -> Backend:
    if path.suffix == IR_SUFFIX and backend not in ("auto", "openvino"):
        raise ModelError(f"{path.name} is an OpenVINO model: use backend openvino or auto, or the .onnx model")
    if path.suffix == IR_SUFFIX or backend == "openvino":
        return OpenVinoBackend(path=path, precision=precision, threads=threads, fold=fold, spec=spec)
    if backend == "tensorrt":
        return _open_built(path, precision)
    made_for = quantised_for(path) if backend == "auto" else None
    if made_for == "openvino":
        return OpenVinoBackend(path=path, precision=precision, threads=threads, fold=fold, spec=spec)
    if made_for == "tensorrt" and not tensorrt_usable():
        raise ModelError(
            f"{path.name} is quantised for TensorRT, which is not here: use one quantised with --target cpu, or say "
            "backend onnxruntime, which runs it slower than fp32"
        )
    if backend == "auto" and tensorrt_usable():
        try:
            return _open_built(path, precision)
        except ModelError as error:
            log.warning("onnxruntime runs %s: %s", path.name, error)
            precision = "auto"  # the requested precision was for the engine
    return OnnxRuntimeBackend(path=path, precision=precision, threads=threads)


def quantised_for(path: Path) -> str | None:
    """Which runtime an INT8 file was made for, by its own word; None where it says nothing. Raises ModelError."""
    from .backends.onnx_metadata import INT8_FOR, inspect

    return inspect(path).metadata.get(INT8_FOR)


def tensorrt_usable() -> bool:
    """Whether there are a GPU and TensorRT; without a GPU nothing is imported to find out."""
    return gpu.device_files() and gpu.tensorrt_there()


def _open_engine(path: Path, backend: BackendName, precision: Precision, *, judged: bool) -> Backend:
    if backend not in ("auto", "tensorrt"):
        raise ModelError(f"{path.name} is a TensorRT engine: use backend tensorrt or auto, or the .onnx model")
    from .backends.tensorrt import TensorRtBackend

    return TensorRtBackend(path=path, precision=precision, judged=judged)


def _open_built(path: Path, precision: Precision) -> Backend:
    """The engine that was built from the ONNX file at `path`."""
    from .backends.onnx_metadata import inspect
    from .backends.tensorrt import TensorRtBackend
    from .tensorrt import engine_store, manifest

    digest = inspect(path).digest
    wanted = engine_store.PRECISIONS if precision == "auto" else (precision,)
    engine = engine_store.find(path, digest, manifest.environment(), precisions=wanted)
    return TensorRtBackend(path=engine, model_sha256=digest)
