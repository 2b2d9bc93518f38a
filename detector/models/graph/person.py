"""Removes all classes but person from a model's outputs; the remaining values are the same."""

from __future__ import annotations

import numpy as np
import onnx

from detector.core.errors import ModelError
from detector.inference.layout import Layout, anchors

from .cut_channels import Span, narrow, same_axis
from .graph import Graph, Shape, attribute

BOXES, SCORES = "boxes", "scores"


def keep_person(graph: Graph, layout: Layout) -> dict[str, str]:
    """Reduce the graph's outputs to the class person, by its layout; returns metadata to add. Raises ModelError.

    End-to-end: boxes are computed after the selection of the best, only for those; there may be more rows than in the
    original, where other classes displaced persons. YOLOX with NMS: the NMS is removed.
    """
    if layout.kind == "end-to-end":
        _end_to_end(graph, layout)
    elif layout.kind in ("dense", "yolox-grid"):
        axis, first, classes = (1, 4, layout.classes or 1) if layout.kind == "dense" else (2, 5, layout.classes or 1)
        if classes > 1:
            span = Span(tensor=graph.outputs[0], axis=axis, low=first, high=first + classes, keep=layout.person)
            narrow(graph, span)
    elif layout.kind == "yolox-nms":
        return cut_nms(graph, layout, person_only=True)
    elif layout.kind == "detr":
        raise ModelError("a transformer's classes are cut where it is exported: detector export MODEL.pt --person-only")
    else:
        raise ModelError("this model's head is cut already: use it as it is")
    return {}


def _end_to_end(graph: Graph, layout: Layout) -> None:
    """Scores [1,1,N] -> the K best -> boxes of these K only -> [1,K,6], as the original sorts them."""
    shapes = graph.shapes()
    cells = anchors(layout.width, layout.height)
    output = graph.outputs[0]
    rows = shapes.get(output, (1, 0, 6))[1]
    boxes, scores = _dense_part(graph, shapes, cells)
    if shapes[scores][1] > 1:
        narrow(graph, Span(tensor=scores, axis=1, low=0, high=shapes[scores][1], keep=layout.person))
    best = min(rows, cells)
    flat = graph.add("Reshape", [scores, _ints(graph, 1, -1)], hint="flat")
    value, index = graph.new_name("best"), graph.new_name("index")
    graph.model.graph.node.append(
        onnx.helper.make_node("TopK", [flat, _ints(graph, best)], [value, index], axis=1, largest=1, sorted=1)
    )
    chosen = graph.add("Reshape", [index, _ints(graph, -1)], hint="chosen")
    few = _for_chosen(graph, shapes, boxes, chosen, (cells, best))
    parts = [
        graph.add("Transpose", [few], hint="rows", perm=[0, 2, 1]),
        graph.add("Reshape", [value, _ints(graph, 1, best, 1)], hint="scores"),
        graph.add_constant(np.zeros((1, best, 1), np.float32), "person"),
    ]
    graph.rename(output, graph.new_name("old"))
    graph.model.graph.node.append(onnx.helper.make_node("Concat", parts, [output], axis=2))
    graph.set_outputs([output])


def _dense_part(graph: Graph, shapes: dict[str, Shape], cells: int) -> tuple[str, str]:
    """The boxes [1,4,N] and scores [1,classes,N] that are joined before the selection of the best."""
    found = [
        (node.input[0], node.input[1])
        for node in graph.nodes
        if node.op_type == "Concat"
        and len(node.input) == 2
        and shapes.get(node.input[0]) == (1, 4, cells)
        and (maker := graph.producer(node.input[1])) is not None
        and maker.op_type == "Sigmoid"
        and shapes.get(node.input[1], (0,))[::2] == (1, cells)
    ]
    if len(found) != 1:
        raise _unknown("no boxes [1, 4, N] beside scores [1, classes, N]")
    return found[0]


def _for_chosen(graph: Graph, shapes: dict[str, Shape], boxes: str, chosen: str, count: tuple[int, int]) -> str:
    """`boxes` computed only for the selected columns, which are taken where the grids are joined.

    After that each column is computed independently, so the values are the same. `count`: columns before, after.
    """
    between, sources = _back_to_join(graph, shapes, boxes, count[0])
    for name in sources:
        taken = graph.add("Gather", [name, chosen], hint="taken", axis=len(shapes[name]) - 1)
        for node in between:
            for index, read in enumerate(node.input):
                if read == name:
                    node.input[index] = taken
    for node in between:
        if node.op_type == "Reshape":
            target = graph.constant(node.input[1])
            if target is None:
                raise _unknown("a Reshape whose target is computed")
            node.input[1] = graph.add_constant(np.where(target == count[0], count[1], target), "target")
    return boxes


def _back_to_join(
    graph: Graph, shapes: dict[str, Shape], boxes: str, cells: int
) -> tuple[list[onnx.NodeProto], list[str]]:
    """The nodes from the joined grids (Concat along the cells) to `boxes`, and what they read that has all cells."""
    between: list[onnx.NodeProto] = []
    sources: list[str] = []
    open_names = [boxes]
    while open_names:
        name = open_names.pop()
        node = graph.producer(name)
        if name in sources or node in between or name not in shapes:
            continue
        last = len(shapes[name]) - 1
        joined = node is None or (node.op_type == "Concat" and attribute(node, "axis") % (last + 1) == last)
        if shapes[name][-1:] == (cells,) and joined:
            sources.append(name)
        elif node is not None:
            _refuse_mixing(node, shapes, cells)
            between.append(node)
            open_names += node.input
    if not any(graph.producer(name) for name in sources):
        raise _unknown("its boxes are not joined from grids")
    return between, sources


def _refuse_mixing(node: onnx.NodeProto, shapes: dict[str, Shape], cells: int) -> None:
    """Check that columns stay whole and independent, or selecting them early would change the results."""
    after = shapes.get(node.output[0], ())
    good = node.op_type in _COLUMNWISE and cells in after
    if good and node.op_type == "Softmax":
        good = after[attribute(node, "axis", -1)] != cells
    elif good and node.op_type == "Conv":
        good = all(side == 1 for side in shapes[node.input[1]][2:])
    elif good and node.op_type == "Reshape":
        good = same_axis(shapes.get(node.input[0], ()), after, after.index(cells)) is not None
    if not good:
        raise _unknown(f"{node.op_type} between its grids and its boxes")


_COLUMNWISE = {"Reshape", "Slice", "Sub", "Add", "Div", "Mul", "Transpose", "Softmax", "Conv", "Concat", "Split"}


def cut_nms(graph: Graph, layout: Layout, *, person_only: bool) -> dict[str, str]:
    """Make the inputs of the graph's NMS its outputs: boxes [1,N,4], scores [1,classes,N]; returns metadata.

    The metadata has the NMS threshold. With `person_only` the scores are those of the class person.
    """
    nms = [node for node in graph.nodes if node.op_type == "NonMaxSuppression"]
    if len(nms) != 1 or attribute(nms[0], "center_point_box", 0) != 0 or len(nms[0].input) < 4:
        raise _unknown("no single NMS of corner boxes")
    limit = graph.constant(nms[0].input[3])
    boxes, scores = nms[0].input[0], nms[0].input[1]
    # What the graph gives as boxes it takes from here: so these are the x1, y1, x2, y2 that it promises.
    if limit is None or len(graph.consumers(boxes)) < 2:
        raise _unknown("an NMS whose limit or boxes are not plain")
    boxes, scores = _unsorted(graph, boxes, scores)
    graph.set_outputs([boxes, scores])
    graph.prune()  # what led to the NMS alone no longer counts as a reader
    classes = graph.shapes()[scores][1]
    if person_only and classes > 1:
        # The scores are now an output, and no node reads them.
        graph_output = Span(tensor=scores, axis=1, low=0, high=classes, keep=layout.person)
        narrow(graph, graph_output)
    graph.rename(boxes, BOXES)
    graph.rename(scores, SCORES)
    graph.set_outputs([BOXES, SCORES])
    return {"detector.nms_iou": repr(round(float(limit.reshape(-1)[0]), 6))}


def _unsorted(graph: Graph, boxes: str, scores: str) -> tuple[str, str]:
    """Both as they are before the graph sorts all of them by score for its NMS, where it does."""
    turn = graph.producer(scores)
    gather_boxes = graph.producer(boxes)
    gather_scores = None if turn is None or turn.op_type != "Transpose" else graph.producer(turn.input[0])
    pair = (gather_boxes, gather_scores)
    if turn is None or gather_boxes is None or gather_scores is None:
        return boxes, scores
    if not all(node is not None and node.op_type == "Gather" and attribute(node, "axis", 0) == 1 for node in pair):
        return boxes, scores
    if gather_boxes.input[1] != gather_scores.input[1]:
        return boxes, scores
    turned = graph.add("Transpose", [gather_scores.input[0]], hint="scores", perm=list(attribute(turn, "perm")))
    return gather_boxes.input[0], turned


def _ints(graph: Graph, *values: int) -> str:
    return graph.add_constant(np.array(values, np.int64), "shape")


def _unknown(what: str) -> ModelError:
    return ModelError(f"this model's head is not understood ({what}): use it as it is, without the person-only edit")
