"""The layers of a graph for quantisation: trained convolutions with their activations, and the decoding after them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import onnx

from .graph import Graph

ACTIVATIONS = {"Sigmoid", "Mul", "Relu", "LeakyRelu", "HardSwish", "HardSigmoid", "Clip"}
_DFL = (1, 16, 1, 1)  # weights of the convolution that turns a distribution into a distance


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A convolution by its node's name; `nodes` are it and its activation, which are quantised or left together."""

    name: str
    output: str
    weights: int
    nodes: frozenset[str]


def name_nodes(graph: Graph) -> None:
    """Give every node a unique name."""
    taken: set[str] = set()
    for number, node in enumerate(graph.nodes):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}"
        taken.add(node.name)


def learnt(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether the node is a convolution with weights that were trained."""
    weights = graph.constant(node.input[1]) if node.op_type == "Conv" else None
    return weights is not None and weights.shape != _DFL


def find_layers(graph: Graph) -> list[Layer]:
    """All trained convolutions, in the graph's order; nodes must have names."""
    readers = defaultdict(list)
    for node in graph.nodes:
        for name in set(node.input):
            readers[name].append(node)
    found = []
    for node in graph.nodes:
        if not learnt(graph, node):
            continue
        behind = _activation(readers, node.output[0])
        weights = graph.constant(node.input[1])
        found.append(
            Layer(
                name=node.name,
                output=behind[-1].output[0] if behind else node.output[0],
                weights=0 if weights is None else weights.size,
                nodes=frozenset((node.name, *(other.name for other in behind))),
            )
        )
    return found


def _activation(readers: dict[str, list[onnx.NodeProto]], name: str) -> list[onnx.NodeProto]:
    """The nodes of `x * sigmoid(x)` or of a plain activation over the tensor `name`; empty where there is none."""
    first = readers[name]
    if len(first) == 1 and first[0].op_type in ACTIVATIONS - {"Mul"}:
        return list(first)
    gates = [node for node in first if node.op_type in ("Sigmoid", "HardSigmoid")]
    products = [node for node in first if node.op_type == "Mul"]
    if len(first) == 2 and len(gates) == len(products) == 1 and gates[0].output[0] in products[0].input:
        return [gates[0], products[0]]
    return []


def decoding(graph: Graph, layers: int) -> set[str]:
    """The nodes from the activations before the last `layers` convolutions to the outputs."""
    makers = {name: node for node in graph.nodes for name in node.output}
    found: dict[str, int] = {}  # how many convolutions lie between the node and the outputs
    looking = [(name, 0) for name in graph.outputs]
    while looking:
        name, passed = looking.pop()
        maker = makers.get(name)
        if maker is None or found.get(maker.name, layers + 1) <= passed:
            continue
        weighty = learnt(graph, maker)
        if (weighty and passed >= layers) or (passed and not weighty and maker.op_type not in ACTIVATIONS):
            continue
        found[maker.name] = passed
        looking += [(source, passed + weighty) for source in maker.input]
    return set(found)
