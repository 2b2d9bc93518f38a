"""Half precision: inputs, outputs and decoding stay fp32, and so does whatever would overflow on real pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx

from detector.core.errors import ModelError, one_line
from detector.core.types import Image
from detector.inference.spec import InputSpec

from .calibration import measure
from .edit import is_dynamic, layout_of, stepped
from .freeze import freeze
from .graph import Graph
from .layers import decoding, name_nodes
from .quantize import floats_of, tensors

STEP = "fp16"
_LIMIT = float(np.finfo(np.float16).max) / 2  # other pictures may have larger values


def half(
    model: onnx.ModelProto, pictures: Sequence[Image], *, name: str, spec: InputSpec | None = None
) -> tuple[onnx.ModelProto, list[str]]:
    """The fp32 `model` in half precision, and the nodes that were kept in fp32 because their values are too large.

    The values are measured on `pictures`; without any, no node is kept for that reason. Raises ModelError.
    """
    layout = layout_of(model)
    graph = Graph(model)
    if is_dynamic(model):
        freeze(graph, layout.width, layout.height)
    name_nodes(graph)
    plain = graph.finish()
    large = _large(plain, pictures, spec) if pictures else []
    copy = onnx.ModelProto()
    copy.CopyFrom(plain)
    cast = to_fp16(copy, name, floats=large)
    return stepped(Graph(cast).finish(), model, STEP), large  # the converter adds nodes out of order


def _large(model: onnx.ModelProto, pictures: Sequence[Image], spec: InputSpec | None) -> list[str]:
    """The nodes before decoding with inputs or outputs near the limit of half precision."""
    graph = Graph(model)
    late, known = decoding(graph, 0), floats_of(model)
    early = [node for node in graph.nodes if node.name not in late]
    names = {name for node in early for name in (*node.input, *node.output) if name in known}
    ranges = measure(model, sorted(names), lambda: tensors(pictures, layout_of(model), spec))
    large = {name for name, (low, high) in ranges.items() if max(-low, high) > _LIMIT}
    return [node.name for node in early if large & {*node.input, *node.output}]


_HEAVY = 64  # a convolution with more weights than this learns features; DFL's 16 only add up


def to_fp16(model: Any, name: str, *, floats: Iterable[str] = ()) -> Any:
    """`model` cast to half precision, except inputs, outputs, decoding and the nodes named in `floats`."""
    try:
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise ModelError(f"the cast to fp16 needs the whole of onnxruntime: {one_line(error)}") from None
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"  # the converter keeps nodes apart by name
    blocked = [*(node.name for node in _tail(model.graph)), *floats]
    try:
        return convert_float_to_float16(model, keep_io_types=True, node_block_list=blocked)
    except Exception as error:
        raise ModelError(f"{name} cannot be cast to fp16: {one_line(error)}") from None


def _tail(graph: Any) -> Iterable[Any]:
    """The nodes after which no trained convolution follows: decoding, not feature extraction."""
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
