"""Q/DQ pairs put into a graph: what is computed in INT8 by whichever runtime reads it.

Which nodes is decided here, by what was measured for each runtime; the pairs, scales and stored weights are made by
ONNX Runtime's quantizer. Linear quantisation as in the ONNX operators QuantizeLinear and DequantizeLinear:
real = scale * (stored - zero point).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from detector.inference.backends.onnxruntime import import_quantization

from .calibration import Range
from .graph import Graph, attribute
from .silu import silus

_SAME_RANGE = {"MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Split", "Slice", "Resize"}
"""They only move numbers: with one range before and behind they run on the stored integers."""
WITHOUT_WEIGHTS = {"Add", "Mul", "Sigmoid", "LeakyRelu", "Concat", "MatMul", *_SAME_RANGE}


@dataclass(frozen=True, slots=True, kw_only=True)
class QdqStyle:
    """Where a runtime wants its pairs.

    `signed`: activations symmetric in -127..127, else 0..255 with a zero point. `everything`: each operator's inputs
    and outputs, else the convolutions' inputs alone; what else reads such a tensor gets the dequantised numbers, too.
    `dedicated`: a pair for each quantised reader. `bias`: stored as int32.
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


def quantised(
    graph: Graph, ranges: Mapping[str, Range], floats: Collection[str], form: QdqStyle
) -> tuple[onnx.ModelProto, int]:
    """The graph's model with pairs at all nodes not in `floats`; how many convolutions became INT8.

    A node whose tensors have no range stays as it is.
    """
    nodes = [
        node
        for node in _chosen(graph, floats, form)
        if all(name in ranges for name in (*_read(node), *(node.output if form.everything else ())))
    ]
    convolutions = sum(node.op_type == "Conv" for node in nodes)
    return (_with_pairs(graph.model, nodes, ranges, form) if nodes else graph.model), convolutions


def _with_pairs(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], ranges: Mapping[str, Range], form: QdqStyle
) -> onnx.ModelProto:
    library: Any = import_quantization()
    limits = {
        name: library.calibrate.TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.items()
    }
    quantizer = library.QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=False,
        weight_qType=library.QuantType.QInt8,
        activation_qType=library.QuantType.QInt8 if form.signed else library.QuantType.QUInt8,
        tensors_range=limits,
        nodes_to_quantize=[node.name for node in nodes],
        nodes_to_exclude=[],
        op_types_to_quantize=sorted({node.op_type for node in nodes}),
        extra_options={
            "ActivationSymmetric": form.signed,
            "WeightSymmetric": True,
            "QuantizeBias": form.bias,
            "DedicatedQDQPair": form.dedicated,
            "OpTypesToExcludeOutputQuantization": [] if form.everything else ["Conv"],
        },
    )
    quantizer.quantize_model()
    found: onnx.ModelProto = quantizer.model.model
    return found
