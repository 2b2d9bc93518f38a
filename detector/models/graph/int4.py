"""INT4 weights by blocks: the model computes in floating point as before, and its file is a fifth of the size.

A block of neighbouring weights of one output shares a scale (as in G. Gerganov's llama.cpp Q4_0 and ONNX's blocked
DequantizeLinear, operator set 21). MatMul and Gemm read it as such, which ONNX Runtime multiplies without unpacking;
for convolutions it only saves space: by the metadata, ONNX Runtime unpacks them once while loading.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, version_converter

from detector.core.errors import ModelError
from detector.inference.backends.onnx_metadata import UNPACK

from .edit import stepped
from .graph import Graph, attribute
from .layers import name_nodes

BLOCK = 32
STEP = "int4 weights"
_OPSET, _IR = 21, 10
_SHRINKS = np.linspace(1.0, 0.7, 7, dtype=np.float32)
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The number of packed layers of each kind."""

    model: onnx.ModelProto
    products: int
    convolutions: int


def ready(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model as `pack` takes it: operator set 21, every node named; raises ModelError."""
    graph = Graph(_recent(model))
    name_nodes(graph)
    made = graph.finish()
    made.ir_version = max(made.ir_version, _IR)
    return made


def eligible(model: onnx.ModelProto, *, convolutions: bool = True, block: int = BLOCK) -> list[str]:
    """The names of the layers with constant weights, at least `block` of them an output."""
    graph = Graph(model)
    kinds = {"MatMul", "Gemm", *(("Conv",) if convolutions else ())}
    return [node.name for node in graph.nodes if node.op_type in kinds and _columns(graph, node) >= block]


def pack(model: onnx.ModelProto, layers: Collection[str], *, source: onnx.ModelProto, block: int = BLOCK) -> Packed:
    """`model`, made by `ready` from `source`, with the weights of `layers` in 4 bits; raises ModelError."""
    graph = Graph(model)
    packer = _Packer(graph, block)
    counts = {"MatMul": 0, "Gemm": 0, "Conv": 0}
    for node in [node for node in graph.nodes if node.name in layers]:
        packer.pack(node)
        counts[node.op_type] += 1
    products = counts["MatMul"] + counts["Gemm"]
    # The DequantizeLinear of MatMul and Gemm must stay, or they would be computed in floating point.
    added = {UNPACK: "1"} if counts["Conv"] and not products else {}
    made = stepped(graph.finish(), source, STEP, added)
    return Packed(model=made, products=products, convolutions=counts["Conv"])


def _columns(graph: Graph, node: onnx.NodeProto) -> int:
    """The number of weights per output; 0 if they are computed or not plain."""
    weights = graph.constant(node.input[1])
    if weights is None or weights.dtype != np.float32 or weights.ndim != (4 if node.op_type == "Conv" else 2):
        return 0
    return int(weights.reshape(len(weights), -1).shape[_axis(node)])


def _axis(node: onnx.NodeProto) -> int:
    """Along which what one output adds up lies."""
    return 1 if node.op_type == "Conv" or attribute(node, "transB", 0) else 0


class _Packer:
    def __init__(self, graph: Graph, block: int) -> None:
        self._graph, self._block = graph, block

    def pack(self, node: onnx.NodeProto) -> None:
        weights = self._graph.constant(node.input[1])
        assert weights is not None  # eligible
        name = self._dequantised(node.name, weights.reshape(len(weights), -1), _axis(node))
        if weights.ndim == 4:
            shape = self._graph.add_constant(np.array(weights.shape, np.int64), "shape")
            name = self._graph.add("Reshape", [name, shape], hint="unpacked")
        node.input[1] = name

    def _dequantised(self, name: str, weights: NDArray[Any], axis: int) -> str:
        along = weights if axis == 1 else weights.T
        stored, scales = blockwise(np.ascontiguousarray(along, np.float32), self._block)
        if axis == 0:
            stored, scales = np.ascontiguousarray(stored.T), np.ascontiguousarray(scales.T)
        names = f"{name}/int4", f"{name}/scale"
        nibbles = TensorProto(
            name=names[0], data_type=TensorProto.INT4, dims=stored.shape, raw_data=nibbles_of(stored).tobytes()
        )
        self._graph.model.graph.initializer.extend([nibbles, numpy_helper.from_array(scales, names[1])])
        made = helper.make_node(
            "DequantizeLinear", names, [f"{name}/real"], name=f"{name}/DQ", axis=axis, block_size=self._block
        )
        self._graph.model.graph.node.append(made)
        return f"{name}/real"


def blockwise(weights: Floats, block: int) -> tuple[NDArray[np.int8], Floats]:
    """Integers -8..7 [N,K] and scales [N, ceil(K / block)], by block the scale of least square error among a few."""
    rows, columns = weights.shape
    blocks = -(-columns // block)
    padded = np.zeros((rows, blocks * block), np.float32)
    padded[:, :columns] = weights
    cut = padded.reshape(rows, blocks, block)
    widest = np.abs(cut).max(axis=2, keepdims=True) / np.float32(7.0)
    widest[widest == 0] = 1.0
    best, least = widest, np.full(widest.shape, np.inf, np.float32)
    for shrink in _SHRINKS:
        scale = widest * shrink
        error = np.square(np.clip(np.rint(cut / scale), -8, 7) * scale - cut).sum(axis=2, keepdims=True)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    stored = np.clip(np.rint(cut / best), -8, 7).astype(np.int8)
    return stored.reshape(rows, -1)[:, :columns], best[..., 0].astype(np.float32)


def nibbles_of(stored: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Two integers a byte, the first in the lower half, as ONNX stores INT4."""
    flat = stored.ravel()
    even = np.append(flat, np.zeros(len(flat) % 2, np.int8)).view(np.uint8) & 15
    return np.asarray(even[0::2] | (even[1::2] << 4), np.uint8)


def _recent(model: onnx.ModelProto) -> onnx.ModelProto:
    """Blocks need operator set 21."""
    if Graph(model).opset >= _OPSET:
        return model
    try:
        found: onnx.ModelProto = version_converter.convert_version(model, _OPSET)
    except (RuntimeError, version_converter.ConvertError) as error:
        raise ModelError(f"this model cannot be made int4: {' '.join(str(error).split())[:160]}") from None
    return found
