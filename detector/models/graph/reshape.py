"""Changes a model's input size: every constant that depends on the old grid is computed again, or ModelError is raised."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import onnx

from detector.core.errors import ModelError
from detector.inference.layout import STRIDES, anchors

from .graph import Array, Graph, Shape
from .grids import Sides, regrid

_WEIGHTED = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
_SIZED = {"Expand", "Slice", "Tile", "ConstantOfShape", "Range", "Pad"}


def resize(graph: Graph, old: Sides, new: Sides) -> None:
    """Change a graph of fixed input size `old` (width, height px) to `new`; raises ModelError."""
    before = graph.shapes()
    graph.set_input_size(*new)
    _regrid_constants(graph, old, new)
    _recount(graph, old, new)
    for node in list(graph.nodes):
        if node.op_type == "Reshape":
            _reshape(graph, node, before, (old, new))
        elif node.op_type == "Resize" and len(node.input) > 3 and node.input[3]:
            sizes = graph.constant(node.input[3])
            fits = set() if sizes is None else set(_changed(tuple(sizes.tolist()), (old, new)))
            if len(fits) != 1:
                raise _unknown("a Resize to a fixed size")
            node.input[3] = graph.add_constant(np.array(fits.pop(), np.int64), "sizes")


def _regrid_constants(graph: Graph, old: Sides, new: Sides) -> None:
    """Anchors and strides, recognised by their values."""
    counts = {anchors(*old), *(math.prod(_cells(old, stride)) for stride in STRIDES)}
    for name in graph.constants():
        values = graph.constant(name)
        readers = graph.consumers(name)
        if values is None or values.dtype.kind != "f" or not counts & set(values.shape):
            continue
        if any(node.op_type in _WEIGHTED for node in readers):
            continue
        fresh = regrid(values, old, new)
        if fresh is None:
            raise _unknown(f"a constant of shape {list(values.shape)} is no known grid")
        _swap(readers, name, graph.add_constant(fresh, "grid"))


def _recount(graph: Graph, old: Sides, new: Sides) -> None:
    """The number of all cells (a TopK's count, a factor), recognised by its value."""
    total = anchors(*old)
    per_grid = {math.prod(_cells(old, stride)) for stride in STRIDES}
    for name in graph.constants():
        values = graph.constant(name)
        readers = [node for node in graph.consumers(name) if node.op_type != "Reshape"]
        if values is None or values.dtype.kind != "i" or not readers:
            continue
        if values.size == 1 and values.reshape(-1)[0] == total:
            _swap(readers, name, graph.add_constant(np.full_like(values, anchors(*new)), "count"))
        elif any(node.op_type in _SIZED for node in readers) and {total, *per_grid} & set(values.reshape(-1).tolist()):
            raise _unknown(f"{readers[0].op_type} with a fixed size {values.tolist()}")


def _reshape(graph: Graph, node: onnx.NodeProto, before: dict[str, Shape], sides: tuple[Sides, Sides]) -> None:
    """The new target of a Reshape with a changed input, if grid sizes explain the old target in exactly one way."""
    target = graph.constant(node.input[1])
    if target is None:
        raise _unknown("a Reshape whose target is computed")
    shapes = graph.shapes()  # what stands before this node is right by now
    source, result = shapes.get(node.input[0]), before.get(node.output[0])
    if source is None or result is None or node.input[0] not in before:
        if (target == -1).any() and not any(_changed(tuple(target.tolist()), sides)):
            return  # of what an NMS found, say: nothing in it is a grid's
        raise _unknown("a Reshape of unknown shape")
    if source == before[node.input[0]]:
        return
    fits = {shape for shape in _changed(result, sides) if math.prod(shape) == math.prod(source)}
    if not fits and (target == -1).any():
        return  # a flattening: the open length takes what there is
    if len(fits) != 1:
        raise _unknown(f"a Reshape to {list(result)} of what is now {list(source)}")
    node.input[1] = graph.add_constant(np.array(fits.pop(), np.int64), "target")


def _changed(shape: Shape, sides: tuple[Sides, Sides]) -> Iterator[Shape]:
    """`shape` with the cells of one grid or of all replaced, or with one grid's height and, later, width."""
    old, new = sides
    grids = [(_cells(old, stride), _cells(new, stride)) for stride in (1, 2, 4, *STRIDES, 64)]
    grids = [(was, now) for was, now in grids if math.prod(was) > 1]
    counts = {math.prod(was): math.prod(now) for was, now in grids} | {anchors(*old): anchors(*new)}
    for axis, side in enumerate(shape):
        if side in counts:
            yield (*shape[:axis], counts[side], *shape[axis + 1 :])
    for (width, height), (new_width, new_height) in grids:
        for first, second in itertools.combinations(range(len(shape)), 2):
            if (shape[first], shape[second]) == (height, width):
                changed = list(shape)
                changed[first], changed[second] = new_height, new_width
                yield tuple(changed)


def _cells(sides: Sides, stride: int) -> Sides:
    return sides[0] // stride, sides[1] // stride


def _swap(readers: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in readers:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new


def _unknown(what: str) -> ModelError:
    return ModelError(f"this model cannot be made for another size ({what}): export it for that size instead")


__all__ = ["Array", "resize"]
