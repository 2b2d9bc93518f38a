"""An ONNX model made ready for TensorRT: its NMS cut off, its precision written into it (package `onnx`).

The engine is strongly typed, so what the ONNX says is what is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError
from detector.inference.backends.base import TensorSpec, one_line
from detector.inference.backends.onnxfile import inspect
from detector.inference.layout import Layout, anchors, default_spec, find_layout
from detector.inference.spec import InputSpec

BuildPrecision = Literal["auto", "fp32", "fp16", "int8"]
NMS_IOU = "detector.nms_iou"
"""The metadata key under which the IoU threshold of an NMS that was cut off stays known."""

_HEAVY = 64  # a convolution with more weights than this learns features; DFL's 16 only add up


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


def prepare(path: Path, *, precision: BuildPrecision = "auto") -> Prepared:
    """`path` in `precision`; auto is the file's own. Raises ModelError.

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
    if layout.kind == "yolox-nms":
        metadata[NMS_IOU] = str(_cut_nms(model, layout, path))
        layout = _layout(model, metadata)
        steps.append("nms cut")
    if wanted != file.precision:
        model = _to_fp16(model, path)
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


def _load(path: Path) -> Any:
    try:
        import onnx
    except ImportError:
        raise ModelError("building an engine needs the package onnx: pip install 'detector[optimize]'") from None
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf's own, whose base is Exception
        raise ModelError(f"{path} is not an ONNX model, or is cut short: {one_line(error)}") from None


def _layout(model: Any, metadata: dict[str, str]) -> Layout:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [_spec(value) for value in model.graph.input if value.name not in weights]
    return find_layout(inputs, [_spec(value) for value in model.graph.output], metadata)


def _spec(value: Any) -> TensorSpec:
    from onnx import helper

    kind = value.type.tensor_type
    shape = tuple(side.dim_value if side.dim_value > 0 else None for side in kind.shape.dim)
    return TensorSpec(value.name, shape, np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)).name)


# NMS: its output has a length that only the GPU knows, which costs a synchronisation inside the engine


def _cut_nms(model: Any, layout: Layout, path: Path) -> float:
    """Ends the graph before its NMS, as one dense output [1, 5, N]: cx, cy, w, h, person's score. Its IoU threshold."""
    graph = model.graph
    found = [node for node in graph.node if node.op_type == "NonMaxSuppression"]
    if len(found) != 1 or any(a.name == "center_point_box" and a.i for a in found[0].attribute):
        raise ModelError(f"{path.name} ends in an NMS of an unknown kind: export it without NMS")
    nms = found[0]
    threshold = float(np.ravel(_constant(model, nms.input[3]))[0]) if len(nms.input) > 3 else 0.0
    _append_dense(graph, boxes=nms.input[0], scores=nms.input[1], layout=layout)
    _keep_only(graph, {"detections"})
    return threshold


def _append_dense(graph: Any, *, boxes: str, scores: str, layout: Layout) -> None:
    """Corners [1,N,4] become centres and sizes by one product with a 4 x 4 matrix, one person row follows."""
    from onnx import TensorProto, helper, numpy_helper

    to_center = np.array([[0.5, 0, -1, 0], [0, 0.5, 0, -1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]], np.float32)
    added: dict[str, NDArray[Any]] = {
        "dense_to_center": to_center,
        "dense_from": np.array([layout.person], np.int64),
        "dense_to": np.array([layout.person + 1], np.int64),
        "dense_axis": np.array([1], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in added.items())
    graph.node.extend(
        [
            helper.make_node("MatMul", [boxes, "dense_to_center"], ["dense_rows"], name="dense_matmul"),
            helper.make_node("Transpose", ["dense_rows"], ["dense_boxes"], name="dense_transpose", perm=[0, 2, 1]),
            helper.make_node(
                "Slice", [scores, "dense_from", "dense_to", "dense_axis"], ["dense_scores"], name="dense_slice"
            ),
            helper.make_node("Concat", ["dense_boxes", "dense_scores"], ["detections"], name="dense_concat", axis=1),
        ]
    )
    del graph.output[:]
    cells = anchors(layout.width, layout.height)
    graph.output.append(helper.make_tensor_value_info("detections", TensorProto.FLOAT, [1, 5, cells]))


def _keep_only(graph: Any, outputs: set[str]) -> None:
    """Drops what no output needs."""
    needed, kept = set(outputs), []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed.update(node.input)
            for inner in (a.g for a in node.attribute if a.HasField("g")):
                needed.update(name for child in inner.node for name in child.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(weights)


def _constant(model: Any, name: str) -> Any:
    from onnx import numpy_helper

    for tensor in model.graph.initializer:
        if tensor.name == name:
            return numpy_helper.to_array(tensor)
    for node in model.graph.node:
        if node.op_type == "Constant" and name in node.output:
            return numpy_helper.to_array(node.attribute[0].t)
    raise ModelError(f"the NMS of this model takes {name} from no constant: export it without NMS")


# FP16


def _to_fp16(model: Any, path: Path) -> Any:
    try:
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise ModelError(f"the cast to fp16 needs the whole of onnxruntime: {one_line(error)}") from None
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"  # the converter keeps nodes apart by name
    try:
        return convert_float_to_float16(model, keep_io_types=True, node_block_list=[n.name for n in _tail(model.graph)])
    except Exception as error:
        raise ModelError(f"{path.name} cannot be cast to fp16: {one_line(error)}") from None


def _tail(graph: Any) -> Iterable[Any]:
    """The nodes behind which no learnt convolution comes: decoding, not feature extraction."""
    weights = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
    feeds_features: set[str] = set()  # tensors that a learnt convolution still needs
    tail = []
    for node in reversed(graph.node):
        learnt = node.op_type == "Conv" and weights.get(node.input[1], _HEAVY + 1) > _HEAVY
        if learnt or feeds_features & set(node.output):
            feeds_features.update(node.input)
        else:
            tail.append(node)
    return tail
