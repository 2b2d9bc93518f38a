"""An ONNX model made ready for TensorRT: its NMS cut off, its precision written into it (package `onnx`).

The engine is strongly typed, so what the ONNX says is what is computed.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from detector.core.errors import InferenceError, ModelError, one_line
from detector.inference.acceptance import accepted_layout
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.layout import Layout, default_spec, find_layout
from detector.inference.model_metadata import ACTIVATION, BOXES, LAYOUT, UNITS
from detector.inference.spec import InputSpec
from detector.inference.tensors import TensorSpec
from detector.models.graph.fp16 import to_fp16

BuildPrecision = Literal["auto", "fp32", "fp16", "int8"]
_SAME = 1e-4  # of the largest number: sums in another order


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """`content` is the ONNX; `sha256` that of the file it came from; `steps` what was done to it.

    `spec` is what models of the file's own layout are commonly trained with.
    """

    content: bytes
    sha256: str
    precision: str
    metadata: dict[str, str]
    layout: Layout
    spec: InputSpec
    steps: tuple[str, ...]


def prepare(path: Path, *, precision: BuildPrecision = "auto", batch: int = 1) -> Prepared:
    """`path` in `precision`; auto is the file's own; for up to `batch` pictures at once. Raises ModelError.

    fp16 keeps inputs, outputs and everything behind the last learnt convolution in fp32: box corners
    up to 640 px have steps of half a pixel in fp16. int8 needs a model that is quantised (Q/DQ) already.
    """
    file = inspect(path)
    wanted = file.precision if precision == "auto" else precision
    if wanted != file.precision and (file.precision, wanted) != ("fp32", "fp16"):
        raise ModelError(f"{path.name} is an {file.precision} model: build it so, or export it as {wanted} first")
    model, steps = _load(path), []
    metadata = dict(file.metadata)
    layout = _layout(model, metadata)
    if layout.pixels:
        raise ModelError(f"{path.name} has its preprocessing folded in: build the engine from the model without it")
    spec = default_spec(layout)
    metadata |= _settled(path, metadata)
    if layout.kind == "yolox-nms":
        model, metadata = _before_nms(model, path)
        layout = _layout(model, metadata)
        steps.append("nms cut")
    if batch > 1 and not _open(model):
        model = _for_many(model, path)
        steps.append("batch opened")
    if wanted != file.precision:
        model = to_fp16(model, path.name)
        steps.append("fp16 cast")
    return Prepared(
        content=model.SerializeToString(),
        sha256=file.digest,
        precision=wanted,
        metadata=metadata,
        layout=layout,
        spec=spec,
        steps=tuple(steps),
    )


def _settled(path: Path, metadata: dict[str, str]) -> dict[str, str]:
    """What a run of an uncommon model settles, as metadata: an engine's first run is on the device."""
    backend = OnnxRuntimeBackend(path=path, threads=1)
    try:
        layout = accepted_layout(backend, metadata, first_run=True)
    finally:
        backend.close()
    if layout.usual:
        return {}
    return {LAYOUT: layout.kind, BOXES: layout.box_form, UNITS: layout.box_units, ACTIVATION: layout.activation}


def _load(path: Path) -> Any:
    try:
        import onnx
    except ImportError:
        raise ModelError("building an engine needs the package onnx: pip install 'detector[optimize]'") from None
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf's own, whose base is Exception
        raise ModelError(f"{path} is not an ONNX model, or is cut short: {one_line(error)}") from None


def _before_nms(model: Any, path: Path) -> tuple[Any, dict[str, str]]:
    """The graph up to its NMS, whose output has a length that only the GPU knows: a synchronisation inside the engine.

    For persons alone, and its metadata, which keeps the NMS's IoU.
    """
    from detector.models.graph.edit import person_only

    try:
        made = person_only(model)
    except ModelError as error:
        raise ModelError(f"{path.name}: {error}") from None
    return made, {entry.key: entry.value for entry in made.metadata_props}


def _open(model: Any) -> bool:
    return not model.graph.input[0].type.tensor_type.shape.dim[0].dim_value


def _for_many(model: Any, path: Path) -> Any:
    """The model with an open batch, proved to keep its pictures apart."""
    from detector.models.graph.edit import open_batch

    try:
        made = open_batch(model)
        _prove(made, _layout(model, {entry.key: entry.value for entry in model.metadata_props}))
    except (ModelError, InferenceError) as error:
        raise ModelError(f"{path.name} cannot take several pictures at once ({error}): build it with batch 1") from None
    return made


def _prove(made: Any, layout: Layout) -> None:
    """Two pictures together must give what each gives alone."""
    import onnx

    noise = np.random.default_rng(0).random((2, 3, layout.height, layout.width), np.float32)
    pictures = noise * np.float32(default_spec(layout).scale * 255.0)
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(made, str(Path(folder) / "many.onnx"))
        backend = OnnxRuntimeBackend(path=Path(folder) / "many.onnx")
    together = backend.run(pictures)
    for index in range(2):
        for whole, alone in zip(together, backend.run(pictures[index : index + 1]), strict=True):
            if whole[index : index + 1].shape != alone.shape or not _same(whole[index], alone[0]):
                raise ModelError("one changes what is seen in another")


def _same(first: NDArray[Any], second: NDArray[Any]) -> bool:
    largest = float(np.abs(second).max(initial=1.0))
    return bool(np.allclose(first, second, rtol=0.0, atol=_SAME * largest))


def _layout(model: Any, metadata: dict[str, str]) -> Layout:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [_spec(value) for value in model.graph.input if value.name not in weights]
    return find_layout(inputs, [_spec(value) for value in model.graph.output], metadata)


def _spec(value: Any) -> TensorSpec:
    from onnx import helper

    kind = value.type.tensor_type
    shape = tuple(side.dim_value if side.dim_value > 0 else None for side in kind.shape.dim)
    return TensorSpec(value.name, shape, np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)).name)


# FP16
