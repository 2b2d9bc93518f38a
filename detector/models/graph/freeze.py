"""Makes a graph of dynamic size one of fixed size: everything that follows from the input's shape is computed now."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from .graph import Array, Graph, Shape

_LARGEST = 1 << 22  # numbers; grids are far below, activations are never constant


def freeze(graph: Graph, width: int, height: int) -> None:
    """Fix the input's size (px) and fold everything that follows from it, bit for bit as in a run."""
    graph.set_input_size(width, height)
    fold(graph)


def fold(graph: Graph) -> None:
    """Compute everything that follows from constants and known shapes, bit for bit as in a run."""
    while _fold_once(graph):
        pass


def _fold_once(graph: Graph) -> bool:
    """One pass over the nodes; folded shapes allow further inference, so passes are repeated while they find any."""
    shapes = graph.shapes()
    folded = 0
    for node in list(graph.nodes):
        values = _values(graph, node, shapes)
        if values is not None:
            graph.replace_node(node, values)
            folded += 1
    return folded > 0


def _values(graph: Graph, node: onnx.NodeProto, shapes: dict[str, Shape]) -> list[Array] | None:
    if set(node.output) & set(graph.outputs):
        return None
    if node.op_type == "Shape" and node.input[0] in shapes and not node.attribute:
        return [np.array(shapes[node.input[0]], np.int64)]
    inputs: dict[str, Any] = {name: graph.constant(name) for name in node.input if name}
    if not inputs or any(value is None or value.size > _LARGEST for value in inputs.values()):
        return None
    return [np.asarray(value) for value in ReferenceEvaluator(node_model(node, inputs, graph)).run(None, inputs)]


def node_model(node: onnx.NodeProto, inputs: dict[str, Any], graph: Graph) -> onnx.ModelProto:
    """A model of that one node."""
    kinds = {name: onnx.helper.np_dtype_to_tensor_dtype(value.dtype) for name, value in inputs.items()}
    sources = [onnx.helper.make_tensor_value_info(name, kinds[name], inputs[name].shape) for name in inputs]
    results = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in node.output]
    made = onnx.helper.make_graph([node], "one", sources, results)
    return onnx.helper.make_model(made, opset_imports=list(graph.model.opset_import))
