"""The ONNX Runtime backend; the only file that imports onnxruntime."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.core.errors import InferenceError, ModelError, one_line
from detector.core.files import replacing
from detector.inference.input_tensors import picture_first, size_inputs
from detector.inference.tensors import TensorSpec

from .base import Precision, usable_threads
from .compiled_model import KEY, made_for, refuse_foreign
from .onnx_metadata import UNPACK, inspect, metadata_bytes

_DTYPES = {"float": "float32", "double": "float64"}


class OnnxRuntimeBackend:
    """A model in ONNX Runtime, in the file's own precision.

    Raises ModelError for a file that cannot be used and a `precision` that the file does not have.
    """

    name = "onnxruntime"

    def __init__(self, *, path: Path, precision: Precision = "auto", threads: int = 0) -> None:
        file = inspect(path)
        if precision not in ("auto", file.precision):
            raise ModelError(
                f"{path.name} is an {file.precision} model and onnxruntime runs it as such: "
                f"use precision auto, or a model exported as {precision}"
            )
        runtime = _import()
        self.version: str = runtime.__version__
        self.precision = file.precision
        self.digest = file.digest
        self.operators = file.operators
        compiled = refuse_foreign(path, file.metadata, self.name, self.version)
        options = _options(runtime, threads, unpack=UNPACK in file.metadata, optimised=compiled)
        self._session = _session(runtime, path, options)
        self.provider: str = self._session.get_providers()[0]
        self.inputs = tuple(_spec(node) for node in self._session.get_inputs())
        self.outputs = tuple(_spec(node) for node in self._session.get_outputs())
        self.metadata: Mapping[str, str] = file.metadata
        self._input = picture_first(self.inputs)

    def run(self, tensor: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        if self._session is None:
            raise InferenceError("the model was closed")
        fed = tensor.astype(np.float16) if self._input.dtype == "float16" else tensor
        try:
            return tuple(self._session.run(None, {self._input.name: fed, **size_inputs(self.inputs, tensor)}))
        except Exception as error:
            raise InferenceError(f"onnxruntime could not run the model: {one_line(error)}") from None

    def close(self) -> None:
        self._session = None


def _import() -> Any:
    # From 1.32 on its Linux wheels send telemetry with a device id unless this is set before they are loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"onnxruntime cannot be imported ({one_line(error)}): pip install onnxruntime") from None
    return onnxruntime


def import_quantization() -> Any:
    """The module onnxruntime.quantization, which imports onnx; raises ModelError where it cannot be imported."""
    _import()
    from onnxruntime import quantization

    return quantization


def save_optimised(path: Path, output: Path) -> None:
    """Write the graph as optimised by ONNX Runtime for this CPU; `OnnxRuntimeBackend` opens it on this machine only.

    The file is written atomically. Raises ModelError.
    """
    runtime, file = _import(), inspect(path)
    options = _options(runtime, 1, unpack=UNPACK in file.metadata)
    facts = made_for(OnnxRuntimeBackend.name, runtime.__version__)
    facts |= {"source": str(path), "source_sha256": file.digest}
    try:
        with replacing(output) as part:
            options.optimized_model_filepath = str(part)
            _session(runtime, path, options)
            with part.open("ab") as behind:
                behind.write(metadata_bytes(KEY, json.dumps(facts)))
    except OSError as error:
        raise ModelError(f"cannot write {output}: {error.strerror or error}; make room or choose another") from None


def _options(runtime: Any, threads: int, *, unpack: bool, optimised: bool = False) -> Any:
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and logged once by the caller
    options.intra_op_num_threads = usable_threads(threads)
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    levels = runtime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_DISABLE_ALL if optimised else levels.ORT_ENABLE_ALL
    # Threads that spin while they wait cost 1.7 times the CPU when anything else runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if unpack:  # otherwise each run would do it again
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    # Without the arena glibc returns a run's tensors to the kernel, and the next run's page faults cost a
    # fifth more CPU (YOLOv10n). The arena keeps the memory of the largest run.
    options.enable_cpu_mem_arena = True
    return options


def _session(runtime: Any, path: Path, options: Any) -> Any:
    try:
        session = runtime.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes share no public base
        raise ModelError(_explained(path, str(error), runtime.__version__)) from None
    session.disable_fallback()
    return session


def _explained(path: Path, message: str, version: str) -> str:
    """One line for a model that cannot be loaded; the path is removed first, since its words could match below."""
    text = re.sub(
        r"^.*?\[ONNXRuntimeError\] : \d+ : \w+ : ", "", message.replace(str(path), path.name), flags=re.DOTALL
    )
    text = text.replace(f"Load model from {path.name} failed:", "")
    lower = text.lower()
    if "protobuf" in lower:
        return f"{path} is not an ONNX model, or is cut short: fetch or export it again"
    newer = re.search(r"\b(opset|ir version)\W+(\d+)", lower)
    if newer:
        return (
            f"{path.name} is made for a newer ONNX ({newer[1]} {newer[2]}) than onnxruntime {version} knows: "
            "update onnxruntime, or export with a lower opset"
        )
    return f"onnxruntime cannot load {path.name}: {one_line(text)}"


def _spec(node: Any) -> TensorSpec:
    kind = re.sub(r"^tensor\((.*)\)$", r"\1", node.type)
    shape = tuple(side if isinstance(side, int) and side > 0 else None for side in node.shape)
    return TensorSpec(node.name, shape, _DTYPES.get(kind, kind))
