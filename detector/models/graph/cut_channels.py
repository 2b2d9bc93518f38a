"""Removes all but one of a span of channels, up to the convolutions that produce them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx

from detector.core.errors import ModelError

from .graph import Graph, Shape, attribute

_SPLIT_BY_INPUT = 13  # the operator set from which Split takes its sizes as an input
_PER_ELEMENT = {"Sigmoid", "Identity", "Cast"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Channels `low` up to `high` along `axis` of `tensor`, of which number `keep` (from `low`) is kept."""

    tensor: str
    axis: int
    low: int
    high: int
    keep: int

    @property
    def dropped(self) -> int:
        return self.high - self.low - 1


def narrow(graph: Graph, span: Span) -> None:
    """Reduce `span` to its one channel, exactly: every remaining value is computed as before.

    Raises ModelError for an unsupported operator, or a tensor that another node reads too.
    """
    _Narrowing(graph).cut(span)


class _Narrowing:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._shapes = graph.shapes()

    def cut(self, span: Span) -> None:
        node = self._graph.producer(span.tensor)
        if node is None or self._length(span.tensor, span.axis) < span.high:
            raise _unknown("nothing computes its classes")
        op = node.op_type
        if op in _PER_ELEMENT:
            self._up(node, replace(span, tensor=node.input[0]))
        elif op == "Transpose":
            self._up(node, replace(span, tensor=node.input[0], axis=attribute(node, "perm")[span.axis]))
        elif op == "Concat":
            self._concat(node, span)
        elif op == "Split":
            self._split(node, span)
        elif op == "Reshape":
            self._reshape(node, span)
        elif op == "Mul":
            self._product(node, span)
        elif op == "Conv":
            self._convolution(node, span)
        else:
            raise _unknown(f"{op} in its class branch")

    def _up(self, node: onnx.NodeProto, span: Span) -> None:
        """Continue at an input, if no other node reads the removed channels."""
        if len(self._graph.consumers(span.tensor)) != 1 or span.tensor in self._graph.outputs:
            raise _unknown(f"the classes are read in more than one place ({node.op_type})")
        self.cut(span)

    def _concat(self, node: onnx.NodeProto, span: Span) -> None:
        axis = attribute(node, "axis") % len(self._shape(span.tensor))
        start = 0
        for name in node.input:
            if axis != span.axis:  # the same channels of several grids
                self._up(node, replace(span, tensor=name))
                continue
            end = start + self._length(name, axis)
            if (start, end) == (span.low, span.high):
                self._up(node, replace(span, tensor=name, low=0, high=end - start))
                return
            if start <= span.low and span.high <= end:
                self._up(node, replace(span, tensor=name, low=span.low - start, high=span.high - start))
                return
            start = end
        if axis == span.axis:
            raise _unknown("the classes come from several places at once")

    def _split(self, node: onnx.NodeProto, span: Span) -> None:
        index = list(node.output).index(span.tensor)
        axis = attribute(node, "axis", 0) % len(self._shape(span.tensor))
        sizes = [self._length(name, axis) for name in node.output]
        if axis == span.axis:
            offset = sum(sizes[:index])
            sizes[index] -= span.dropped
            self._resize_split(node, sizes)
            span = replace(span, low=span.low + offset, high=span.high + offset)
        elif len(node.output) > 1:
            raise _unknown("Split across the classes")
        self._up(node, replace(span, tensor=node.input[0]))

    def _resize_split(self, node: onnx.NodeProto, sizes: list[int]) -> None:
        kept = [item for item in node.attribute if item.name not in ("split", "num_outputs")]
        del node.attribute[:]
        node.attribute.extend(kept)
        if self._graph.opset >= _SPLIT_BY_INPUT:
            name = self._graph.add_constant(np.array(sizes, np.int64), "split")
            del node.input[1:]
            node.input.append(name)
        else:
            node.attribute.append(onnx.helper.make_attribute("split", sizes))

    def _reshape(self, node: onnx.NodeProto, span: Span) -> None:
        before, after = self._shape(node.input[0]), self._shape(span.tensor)
        target = self._graph.constant(node.input[1])
        axis = same_axis(before, after, span.axis)
        if target is None or axis is None:
            raise _unknown("Reshape mixes the classes with other things")
        if target[span.axis] > 0:
            changed = target.copy()
            changed[span.axis] -= span.dropped
            node.input[1] = self._graph.add_constant(changed, "target")  # its own: others may share the old one
        self._up(node, replace(span, tensor=node.input[0], axis=axis))

    def _product(self, node: onnx.NodeProto, span: Span) -> None:
        """A product: one factor has the classes, the other (objectness) one value for all of them."""
        rank = len(self._shape(span.tensor))
        wide = [name for name in node.input if len(self._shape(name)) == rank and self._length(name, span.axis) > 1]
        if len(wide) != 1:
            raise _unknown("Mul of classes with classes")
        self._up(node, replace(span, tensor=wide[0]))

    def _convolution(self, node: onnx.NodeProto, span: Span) -> None:
        weights = self._graph.constant(node.input[1])
        if weights is None or span.axis != 1 or attribute(node, "group", 1) != 1:
            raise _unknown("its classes come from a grouped convolution")
        kept = [*range(span.low), span.low + span.keep, *range(span.high, len(weights))]
        node.input[1] = self._graph.add_constant(weights[kept], "weight")
        if len(node.input) > 2:
            bias = self._graph.constant(node.input[2])
            if bias is None:
                raise _unknown("a convolution whose bias is computed")
            node.input[2] = self._graph.add_constant(bias[kept], "bias")

    def _shape(self, name: str) -> Shape:
        if name not in self._shapes:
            raise _unknown("a shape that is not known beforehand")
        return self._shapes[name]

    def _length(self, name: str, axis: int) -> int:
        return self._shape(name)[axis]


def same_axis(before: Shape, after: Shape, axis: int) -> int | None:
    """Where `axis` of a reshaped tensor was before, if it was left whole; None if it was not."""
    if axis < len(before) and before[: axis + 1] == after[: axis + 1]:
        return axis
    back = axis - len(after)
    if -back <= len(before) and before[back:] == after[back:]:
        return len(before) + back
    return None


def _unknown(what: str) -> ModelError:
    return ModelError(f"this model's head is not understood ({what}): use it as it is, without the person-only edit")
