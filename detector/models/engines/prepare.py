"""Prepares an ONNX model for TensorRT: its NMS is removed, and its precision is set in the graph (package `onnx`).

The engine is strongly typed, so the types in the ONNX model are those that are computed in.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx

from detector.core.errors import InferenceError, ModelError
from detector.inference.acceptance import accepted_layout
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.layout import Layout, default_spec
from detector.inference.model_metadata import ACTIVATION, BOXES, LAYOUT, UNITS
from detector.inference.spec import InputSpec
from detector.models.graph.edit import layout_of, metadata_of, open_batch, person_only
from detector.models.graph.fp16 import to_fp16
from detector.models.graph.onnx_file import read

BuildPrecision = Literal["auto", "fp32", "fp16", "int8"]
_SAME = 1e-4  # of the largest value: sums in another order


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """`content` is the ONNX model; `sha256` that of its source file; `steps` the edits.

    `spec` is the input that models of the file's layout are commonly trained with.
    """

    content: bytes
    sha256: str
    precision: str
    metadata: dict[str, str]
    layout: Layout
    spec: InputSpec
    steps: tuple[str, ...]


def prepare(path: Path, *, precision: BuildPrecision = "auto", batch: int = 1) -> Prepared:
    """The model at `path` in `precision` (auto: the file's own) for up to `batch` pictures per run. Raises ModelError.

    fp16 keeps inputs, outputs and everything after the last trained convolution in fp32: box corners up to 640 px have
    steps of half a pixel in fp16. int8 needs a model that is already quantised (Q/DQ).
    """
    file = inspect(path)
    wanted = file.precision if precision == "auto" else precision
    if wanted != file.precision and (file.precision, wanted) != ("fp32", "fp16"):
        raise ModelError(f"{path.name} is an {file.precision} model: build it so, or export it as {wanted} first")
    model, steps = read(path), []
    layout = layout_of(model)
    if layout.pixels:
        raise ModelError(f"{path.name} has its preprocessing folded in: build the engine from the model without it")
    spec = default_spec(layout)
    settled = _settled(path, file.metadata)
    if layout.kind == "yolox-nms":
        # The length of its output is known only on the GPU: a synchronisation inside the engine. Person class only.
        try:
            model = person_only(model)
        except ModelError as error:
            raise ModelError(f"{path.name}: {error}") from None
        layout = layout_of(model)
        steps.append("nms cut")
    metadata = {**metadata_of(model), **settled}
    if batch > 1 and model.graph.input[0].type.tensor_type.shape.dim[0].dim_value:
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


def _for_many(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """The model with a dynamic batch, verified to keep its pictures independent."""
    try:
        made = open_batch(model)
        _prove(made, layout_of(model))
    except (ModelError, InferenceError) as error:
        raise ModelError(f"{path.name} cannot take several pictures at once ({error}): build it with batch 1") from None
    return made


def _prove(made: onnx.ModelProto, layout: Layout) -> None:
    """Check that two pictures in one run give the same results as each alone; raises ModelError."""
    noise = np.random.default_rng(0).random((2, 3, layout.height, layout.width), np.float32)
    pictures = noise * np.float32(default_spec(layout).scale * 255.0)
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(made, str(Path(folder) / "many.onnx"))
        backend = OnnxRuntimeBackend(path=Path(folder) / "many.onnx")
    together = backend.run(pictures)
    for index in range(2):
        for whole, alone in zip(together, backend.run(pictures[index : index + 1]), strict=True):
            atol = _SAME * float(np.abs(alone).max(initial=1.0))
            if whole[index : index + 1].shape != alone.shape or not np.allclose(
                whole[index], alone[0], rtol=0.0, atol=atol
            ):
                raise ModelError("one changes what is seen in another")
