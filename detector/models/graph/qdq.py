"""Q/DQ pairs put into a graph: what is computed in INT8 by whichever runtime reads it.

Linear quantisation as in the ONNX operators QuantizeLinear and DequantizeLinear: real = scale * (stored - zero point).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .calibration import Range
from .graph import Graph, attribute
from .silu import silus

_SAME_RANGE = {"MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Split", "Slice", "Resize"}
"""They only move numbers: with one range before and behind they run on the stored integers."""
WITHOUT_WEIGHTS = {"Add", "Mul", "Sigmoid", "LeakyRelu", "Concat", "MatMul", *_SAME_RANGE}
_BIAS_LIMIT = 2.0**30
_SMALLEST = 1e-30  # float32 loses digits below 1e-38


@dataclass(frozen=True, slots=True, kw_only=True)
class QdqStyle:
    """Where a runtime wants its pairs.

    `signed`: activations symmetric in -127..127, else 0..255 with a zero point. `everything`: each operator's inputs
    and outputs, else the convolutions' inputs alone. `dedicated`: a pair for each reader. `bias`: stored as int32.
    `depthwise`: depthwise convolutions, too. They are bound by memory: OpenVINO ran them slower in INT8, and
    less accurately (YOLOv10n). `silu`: x * sigmoid(x) too; ONNX Runtime takes three times as long for it in integers
    as for its own operator in floats (YOLOv10n: 6.1 ms of 21, against 2.0 and 2.6 for the way there and back).
    `narrowest`: convolutions that read fewer channels stay in floats; over the picture's three INT8 takes twice as long.
    """

    name: str
    signed: bool
    everything: bool
    dedicated: bool
    bias: bool
    depthwise: bool = True
    silu: bool = True
    narrowest: int = 1


ALL = QdqStyle(name="onnxruntime", signed=False, everything=True, dedicated=False, bias=True)
"""Reads and gives every tensor that any other form does."""
ONNXRUNTIME = replace(ALL, silu=False, narrowest=4)
OPENVINO = QdqStyle(name="openvino", signed=False, everything=False, dedicated=False, bias=False, depthwise=False)
TENSORRT = QdqStyle(name="tensorrt", signed=True, everything=False, dedicated=True, bias=False)


def wanted_tensors(graph: Graph, floats: Collection[str], form: QdqStyle, tensors: Collection[str]) -> list[str]:
    """The computed ones of `tensors` whose ranges `quantise` needs."""
    found: dict[str, None] = {}
    for node in _chosen(graph, floats, form):
        for name in (*_read(node), *(node.output if form.everything else ())):
            if name in tensors:
                found[name] = None
    return list(found)


def _chosen(graph: Graph, floats: Collection[str], form: QdqStyle) -> list[onnx.NodeProto]:
    kept = set(floats)
    if not form.silu:
        kept.update(name for silu in silus(graph) for name in (silu.sigmoid, silu.product))
    return [
        node
        for node in graph.nodes
        if node.name not in kept
        and (
            _pays(graph, node, form)
            or (form.everything and node.op_type in WITHOUT_WEIGHTS and _computed_alone(graph, node))
        )
    ]


def _pays(graph: Graph, node: onnx.NodeProto, form: QdqStyle) -> bool:
    """A convolution that `form` wants in INT8."""
    weights = graph.constant(node.input[1]) if node.op_type == "Conv" else None
    if weights is None:
        return False
    group = attribute(node, "group", 1)
    return bool((form.depthwise or group == 1) and weights.shape[1] * group >= form.narrowest)


def _computed_alone(graph: Graph, node: onnx.NodeProto) -> bool:
    """No operand is a stored float: sums with constants belong to decoding."""
    kinds = [graph.constant(name) for name in _read(node)]
    return all(kind is None for kind in kinds)


def _read(node: onnx.NodeProto) -> list[str]:
    """The inputs that carry activations."""
    if node.op_type in _SAME_RANGE or node.op_type == "Conv":
        return [node.input[0]]
    return list(node.input)


def quantise(graph: Graph, ranges: Mapping[str, Range], floats: Collection[str], form: QdqStyle) -> int:
    """Puts the pairs in, for all nodes not in `floats`; how many convolutions became INT8.

    A node whose tensors have no range stays as it is.
    """
    nodes = [
        node
        for node in _chosen(graph, floats, form)
        if all(name in ranges for name in (*_read(node), *(node.output if form.everything else ())))
    ]
    return _Inserter(graph, _shared(nodes, ranges) if form.everything else dict(ranges), form).run(nodes)


def _shared(nodes: list[onnx.NodeProto], ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges in which movers of numbers have their source's."""
    found = dict(ranges)
    for node in nodes:  # sources come first in a sorted graph
        if node.op_type in _SAME_RANGE:
            found.update(dict.fromkeys(node.output, found[node.input[0]]))
    return found


class _Inserter:
    def __init__(self, graph: Graph, ranges: Mapping[str, Range], form: QdqStyle) -> None:
        self._graph, self._ranges, self._form = graph, ranges, form
        self._added: list[onnx.NodeProto] = []
        self._stored: dict[str, Any] = {}
        self._pairs: dict[str, str] = {}

    def run(self, nodes: list[onnx.NodeProto]) -> int:
        self._readers = defaultdict[str, list[onnx.NodeProto]](list)
        for node in self._graph.nodes:
            for name in set(node.input):
                self._readers[name].append(node)
        scales = {node.name: self._scale(node.input[0])[0] for node in nodes if node.op_type == "Conv"}
        weighty = [node for node in nodes if node.op_type == "Conv"]
        for node in nodes:
            self._feed(node)
        if self._form.everything:
            self._requantise(nodes)
        for node in weighty:
            self._weights(node, scales[node.name])
        self._graph.model.graph.node.extend(self._added)
        self._graph.model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in self._stored.items())
        return len(weighty)

    def _feed(self, node: onnx.NodeProto) -> None:
        """Lets `node` read its activations through pairs."""
        sources = set(_read(node))
        for index, name in enumerate(node.input):
            if name in sources:
                node.input[index] = self._pair(name, node.name if self._form.dedicated else "")

    def _requantise(self, nodes: list[onnx.NodeProto]) -> None:
        """What a quantised node gives exists as integers only: everybody reads those."""
        outputs = set(self._graph.outputs)
        for name in [name for node in nodes for name in node.output if name not in outputs]:
            paired = self._pair(name, "")
            for reader in self._readers[name]:
                for index, source in enumerate(reader.input):
                    if source == name:
                        reader.input[index] = paired

    def _pair(self, name: str, reader: str) -> str:
        """The tensor behind a Q/DQ pair over `name`."""
        key = f"{name}/{reader}" if reader else name
        if key not in self._pairs:
            _, constants = self._scale(name)
            stored, real = f"{key}/int8", f"{key}/real"
            self._added.append(helper.make_node("QuantizeLinear", [name, *constants], [stored], name=f"{key}/Q"))
            self._added.append(helper.make_node("DequantizeLinear", [stored, *constants], [real], name=f"{key}/DQ"))
            self._pairs[key] = real
        return self._pairs[key]

    def _scale(self, name: str) -> tuple[np.float32, tuple[str, str]]:
        low, high = self._ranges[name]
        scale, zero = signed_scale(low, high) if self._form.signed else unsigned_scale(low, high)
        names = f"{name}/scale", f"{name}/zero"
        self._stored.update(zip(names, (scale, zero), strict=True))
        return np.float32(scale), names

    def _weights(self, node: onnx.NodeProto, input_scale: np.float32) -> None:
        weights = self._graph.constant(node.input[1])
        assert weights is not None  # chosen so
        bias = self._graph.constant(node.input[2]) if len(node.input) > 2 else None
        scale = np.abs(weights).max(axis=tuple(range(1, weights.ndim))).astype(np.float32) / np.float32(127.0)
        if self._form.bias and bias is not None:  # a dead channel's bias must still fit into 32 bits
            scale = np.maximum(scale, np.abs(bias) / (input_scale * np.float32(_BIAS_LIMIT)))
        scale = np.where(scale > 0, scale, np.float32(1.0)).astype(np.float32)
        wide = scale.reshape(-1, *[1] * (weights.ndim - 1))
        stored = np.clip(np.rint(weights / wide), -127, 127).astype(np.int8)
        node.input[1] = self._constant(f"{node.name}/weight", stored, scale)
        if self._form.bias and bias is not None:
            steps = (scale * input_scale).astype(np.float32)
            node.input[2] = self._constant(f"{node.name}/bias", np.rint(bias / steps).astype(np.int32), steps)

    def _constant(self, name: str, stored: NDArray[Any], scale: NDArray[np.float32]) -> str:
        """Integers with a scale for each of the first axis, read as reals."""
        names = f"{name}/int8", f"{name}/scale", f"{name}/zero"
        self._stored.update(zip(names, (stored, scale, np.zeros(scale.shape, stored.dtype)), strict=True))
        self._added.append(helper.make_node("DequantizeLinear", names, [name], name=f"{name}/DQ", axis=0))
        return name


def unsigned_scale(low: float, high: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Scale and zero point of 0..255 over the range, which is widened to hold 0 exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = _usable((high - low) / 255.0)
    return np.asarray(scale, np.float32), np.asarray(np.clip(round(-low / scale), 0, 255), np.uint8)


def signed_scale(low: float, high: float) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Scale of -127..127, zero point 0."""
    scale = _usable(max(abs(low), abs(high)) / 127.0)
    return np.asarray(scale, np.float32), np.asarray(0, np.int8)


def _usable(scale: float) -> float:
    """A tensor that is always 0, or next to it, has no scale to divide by."""
    return scale if scale > _SMALLEST else 1.0
