"""The OpenVINO backend, on the CPU; the only file that imports openvino (extra `openvino`)."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.core.errors import InferenceError, ModelError, one_line
from detector.core.files import existing_file, install, replacing
from detector.inference.input_tensors import picture_first, size_inputs
from detector.inference.layout import default_spec, find_layout, is_yolox
from detector.inference.spec import INPUT, InputSpec
from detector.inference.tensors import TensorSpec

from .base import Precision, usable_threads
from .onnx_metadata import INT8_FOR, OnnxFile, inspect

IR_SUFFIX = ".xml"
_RT_INFO = "detector"
_OPERATOR = re.compile(rb' type="(\w+)"')


class OpenVinoBackend:
    """A model in OpenVINO, tuned for latency.

    `precision` auto and fp32 compute in float32, not in OpenVINO's default, which is bfloat16 on CPUs that have
    it. fp16 uses the CPU's half precision, bfloat16 first, and `precision` is then `bf16`. int8 needs a quantised
    model, and its remaining layers may run in bfloat16. With `fold` a detection model of fixed size takes uint8
    [1,H,W,3] BGR, and the conversion to its floats (by `spec`, or as its layout is commonly trained) is compiled into
    it, which takes 0.08 ms instead of 0.3. Raises ModelError.
    """

    name = "openvino"

    def __init__(
        self,
        *,
        path: Path,
        precision: Precision = "auto",
        threads: int = 0,
        fold: bool = False,
        spec: InputSpec | None = None,
    ) -> None:
        openvino = _import()
        core = openvino.Core()
        file = _inspect_ir(core, path) if path.suffix == IR_SUFFIX else inspect(path)
        if file.metadata.get(INT8_FOR) == "tensorrt":
            # Observed with 2026.4: it runs, and detects nothing.
            raise ModelError(
                f"{path.name} is quantised for TensorRT, which openvino runs wrongly: use one quantised with --target cpu"
            )
        self.precision, hint = _precision(path, precision, file.precision, core)
        self.version: str = openvino.__version__
        self.provider = "CPU"
        self.digest = file.digest
        self.operators = file.operators
        self.metadata: Mapping[str, str] = file.metadata
        try:
            model = core.read_model(str(path))
        except Exception as error:
            raise ModelError(f"openvino cannot load {path.name}: {one_line(error)}") from None
        if fold:
            model = _folded(openvino, model, file, spec)
        self._model = _compile(core, model, path, hint, usable_threads(threads))
        self._request: Any = self._model.create_infer_request()
        self.inputs = tuple(_spec(port) for port in self._model.inputs)
        self.outputs = tuple(_spec(port) for port in self._model.outputs)
        self._input = picture_first(self.inputs)
        self._half = self._input.dtype == "float16"

    def run(self, tensor: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        if self._request is None:
            raise InferenceError("the model was closed")
        fed = tensor.astype(np.float16) if self._half else tensor
        try:
            results = self._request.infer(self._fed(fed), share_inputs=True, share_outputs=True)
        except Exception as error:
            raise InferenceError(f"openvino could not run the model: {one_line(error)}") from None
        return tuple(results[index] for index in range(len(self.outputs)))

    def _fed(self, tensor: NDArray[Any]) -> list[NDArray[Any]]:
        """Every input's value, in the model's order."""
        if len(self.inputs) == 1:
            return [tensor]
        sizes = size_inputs(self.inputs, tensor)
        return [tensor if spec is self._input else sizes[spec.name] for spec in self.inputs]

    def close(self) -> None:
        self._request = self._model = None


def save_ir(path: Path, output: Path) -> None:
    """Write the model as OpenVINO's `output`.xml and .bin, weights unchanged; raises ModelError.

    Both files are valid on any machine. The .xml is written last, since the .bin is useless without it.
    """
    openvino, file = _import(), inspect(path)
    facts = {"metadata": file.metadata, "precision": file.precision, "source_sha256": file.digest}
    try:
        model = openvino.Core().read_model(str(path))
        model.set_rt_info(json.dumps(facts), [_RT_INFO])
        with replacing(output) as part:
            weights = part.with_suffix(".bin")
            try:
                openvino.save_model(model, str(part), compress_to_fp16=False)
                install(weights, output.with_suffix(".bin"), mode=None)
            finally:
                weights.unlink(missing_ok=True)
    except Exception as error:  # OpenVINO's errors, a full disk's among them, are RuntimeErrors
        raise ModelError(f"openvino cannot write {path.name} as {output}: {one_line(error)}") from None


def _inspect_ir(core: Any, path: Path) -> OnnxFile:
    """The facts that `save_ir` stored; for files of other tools, what the file shows."""
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise ModelError(f"{path.name} keeps its weights in a second file, {weights.name}, which is missing")
    text = existing_file(path).read_bytes()
    digest = hashlib.sha256(text + weights.read_bytes()).hexdigest()
    try:
        model = core.read_model(str(path))
        facts = json.loads(model.get_rt_info([_RT_INFO]).astype(str)) if model.has_rt_info([_RT_INFO]) else {}
    except Exception as error:
        raise ModelError(f"openvino cannot load {path.name}: {one_line(error)}") from None
    precision = "int8" if b'type="FakeQuantize"' in text else "fp32"
    return OnnxFile(
        digest=digest,
        precision=facts.get("precision", precision),
        metadata=facts.get("metadata", {}),
        operators=frozenset(kind.decode() for kind in _OPERATOR.findall(text)),
    )


def _import() -> Any:
    # With this package openvino writes a device id to the home folder at its import, and sends telemetry. Without it
    # openvino works too.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # None forbids the import
    try:
        import openvino
    except ImportError:
        raise ModelError("the backend openvino is not installed: pip install 'detector[openvino]'") from None
    return openvino


def _precision(path: Path, wanted: Precision, own: str, core: Any) -> tuple[str, str]:
    """The precision to report, and OpenVINO's hint for it; raises ModelError."""
    if (wanted == "int8") != (own == "int8") and wanted != "auto":
        raise ModelError(f"{path.name} is an {own} model: use precision auto, or a model exported as {wanted}")
    half = _half(core)
    if own == "int8":
        # The remaining floating-point layers lose nothing in bfloat16 between integer layers.
        return "int8", "bf16" if half == "bf16" else "f32"
    if wanted != "fp16":
        return "fp32", "f32"
    if half is None:
        raise ModelError("this CPU has no half precision: use precision fp32 or auto")
    return half, {"bf16": "bf16", "fp16": "f16"}[half]


def half_precision() -> str | None:
    """bf16 or fp16, whichever OpenVINO can compute in on this CPU; None if neither, or without OpenVINO."""
    try:
        return _half(_import().Core())
    except ModelError:
        return None


def _half(core: Any) -> str | None:
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return next((half for half in ("bf16", "fp16") if half.upper() in able), None)


def _folded(openvino: Any, model: Any, file: OnnxFile, spec: InputSpec | None) -> Any:
    """`model` with its preprocessing in front; as it is where it takes bytes already or is not understood."""
    inputs = tuple(_spec(port) for port in model.inputs)
    try:
        layout = find_layout(inputs, tuple(_spec(port) for port in model.outputs), file.metadata)
    except ModelError:
        return model  # PersonDetector raises a better error
    if len(inputs) != 1 or inputs[0].dtype != "float32" or None in inputs[0].shape:
        return model
    assumed = spec is None and layout.asks is not None and not is_yolox(layout, file.operators)
    if not layout.usual or assumed or INPUT in file.metadata:
        return model
    spec = spec or default_spec(layout)
    if spec.normalised:
        return model
    from openvino.preprocess import ColorFormat, PrePostProcessor

    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().tensor().set_color_format(ColorFormat.BGR)
    if spec.color == "rgb":
        steps.input().preprocess().convert_color(ColorFormat.RGB)
    steps.input().preprocess().convert_element_type(openvino.Type.f32)
    if spec.scale != 1.0:
        steps.input().preprocess().scale(1.0 / spec.scale)
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    return steps.build()


def _compile(core: Any, model: Any, path: Path, hint: str, threads: int) -> Any:
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
    }
    try:
        return core.compile_model(model, "CPU", settings)
    except Exception as error:
        raise ModelError(f"openvino cannot load {path.name}: {one_line(error)}") from None


def _spec(port: Any) -> TensorSpec:
    shape = tuple(side.get_length() if side.is_static else None for side in port.get_partial_shape())
    return TensorSpec(
        port.get_any_name() if port.get_names() else "unnamed", shape, np.dtype(port.get_element_type().to_dtype()).name
    )
