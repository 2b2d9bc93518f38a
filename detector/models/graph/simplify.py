"""Fewer nodes for the same numbers: constants folded, copies passed over, what is computed or stored twice kept once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import onnx

from .freeze import fold
from .graph import Graph

_RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}


def simplify(graph: Graph) -> None:
    """Changes `graph` in place; every number that a run gives stays what it was."""
    fold(graph)
    _follow(graph, _same_constants(graph))
    while same := _same_nodes(graph):
        _follow(graph, same)


def _same_constants(graph: Graph) -> dict[str, str]:
    """Initialisers that hold what an earlier one holds."""
    first: dict[Hashable, str] = {}
    same = {}
    for name in graph.constants():
        values = graph.constant(name)
        if values is not None:
            known = first.setdefault((values.dtype.str, values.shape, values.tobytes()), name)
            if known != name:
                same[name] = known
    return same


def _same_nodes(graph: Graph) -> dict[str, str]:
    """Outputs of nodes that do what an earlier one does, and of those that do nothing."""
    first: dict[Hashable, onnx.NodeProto] = {}
    same: dict[str, str] = {}
    kept = set(graph.outputs)
    for node in graph.nodes:
        if kept & set(node.output) or node.op_type in _RANDOM:
            continue
        if node.op_type == "Identity":
            same[node.output[0]] = node.input[0]
            continue
        known = first.setdefault(_key(node), node)
        if known is not node:
            same.update(pair for pair in zip(node.output, known.output, strict=True) if all(pair))
    return same


def _key(node: onnx.NodeProto) -> Hashable:
    attributes = sorted(item.SerializeToString(deterministic=True) for item in node.attribute)
    return node.domain, node.op_type, tuple(node.input), tuple(attributes), len(node.output)


def _follow(graph: Graph, same: Mapping[str, str]) -> None:
    """Lets everybody read the first of equals, and drops the others."""
    for node in graph.nodes:
        for index, name in enumerate(node.input):
            while name in same:
                name = same[name]  # noqa: PLW2901  # an equal of an equal
            node.input[index] = name
    graph.prune()
