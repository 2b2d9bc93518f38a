"""Simplifies a graph without changing its results: folds constants, removes copies and duplicates."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import onnx

from .freeze import fold
from .graph import Graph

_RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}


def simplify(graph: Graph) -> None:
    """Simplify `graph` in place; every result stays the same."""
    fold(graph)
    _follow(graph, _same_constants(graph))
    while same := _same_nodes(graph):
        _follow(graph, same)


def _same_constants(graph: Graph) -> dict[str, str]:
    """Initialisers that are equal to an earlier one."""
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
    """Outputs of nodes that are equal to an earlier one or do nothing."""
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
    """Make all nodes read the first of equal tensors, and remove the others."""
    for node in graph.nodes:
        for index, name in enumerate(node.input):
            while name in same:
                name = same[name]  # noqa: PLW2901  # an equal of an equal
            node.input[index] = name
    graph.prune()
