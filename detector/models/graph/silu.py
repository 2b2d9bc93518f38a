"""SiLU, x * sigmoid(x): two operators in ONNX, one of ONNX Runtime's own (com.microsoft, QuickGelu with alpha 1)."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import helper

from .graph import Graph

_DOMAIN, _OPERATOR = "com.microsoft", "QuickGelu"


@dataclass(frozen=True, slots=True)
class Silu:
    """Names: of the value, and of the two nodes."""

    value: str
    sigmoid: str
    product: str


def silus(graph: Graph) -> list[Silu]:
    """Those whose sigmoid nothing else reads; nodes must have names."""
    sigmoids = {node.output[0]: node for node in graph.nodes if node.op_type == "Sigmoid"}
    found = []
    for product in (node for node in graph.nodes if node.op_type == "Mul"):
        for value, gate in (tuple(product.input), tuple(reversed(product.input))):
            sigmoid = sigmoids.get(gate)
            alone = sigmoid is not None and gate not in graph.outputs and len(graph.consumers(gate)) == 1
            if sigmoid is not None and alone and sigmoid.input[0] == value:
                found.append(Silu(value, sigmoid.name, product.name))
    return found


def fuse(model: onnx.ModelProto) -> None:
    """Replace each by one operator, in place; ONNX's shape inference does not know that operator."""
    found = {silu.product: silu for silu in silus(Graph(model))}
    if not found:
        return
    gone = {silu.sigmoid for silu in found.values()}
    nodes = []
    for node in model.graph.node:
        if silu := found.get(node.name):
            how = {"name": node.name, "domain": _DOMAIN, "alpha": 1.0}
            nodes.append(helper.make_node(_OPERATOR, [silu.value], list(node.output), **how))
        elif node.name not in gone:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
