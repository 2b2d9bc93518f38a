"""Small detection networks with random weights and the heads of real ones, at any size: YOLOv8, YOLOv10, YOLOX."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from detector.core.types import ArrayImage, Image

Head = Literal["dense", "end-to-end", "yolox-grid", "yolox-nms"]
HEADS: tuple[Head, ...] = ("dense", "end-to-end", "yolox-grid", "yolox-nms")
CLASSES, BEST = 5, 30
NAMES = str({0: "cat", 1: "dog", 2: "person", 3: "cow", 4: "bus"})
PERSON = 2
STRIDES = (8, 16, 32)


def network(
    head: Head, *, width: int = 96, height: int = 96, best: int = BEST, bins_last: bool = False
) -> onnx.ModelProto:
    """A whole model; the same weights at every size, grids and targets as constants, as exporters leave them.

    `bins_last`: the softmax over the last axis, as exporters for older operator sets write it.
    """
    builder = _NetworkBuilder(width, height, best)
    builder.bins_last = bins_last
    outputs = getattr(builder, head.replace("-", "_"))(builder.features())
    graph = helper.make_graph(
        builder.nodes,
        head,
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs],
        builder.stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {"names": NAMES})
    return model


class _NetworkBuilder:
    def __init__(self, width: int, height: int, best: int) -> None:
        self.width, self.height, self.best = width, height, best
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []
        self.bins_last = False
        self._random = np.random.default_rng(3)
        self.cells = [(width // s) * (height // s) for s in STRIDES]

    @property
    def total(self) -> int:
        return sum(self.cells)

    def node(self, op: str, *inputs: str, count: int = 1, **attributes: Any) -> Any:
        names = [f"{op}_{len(self.nodes)}_{index}" for index in range(count)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if count == 1 else names

    def constant(self, values: Any, dtype: Any = np.int64) -> str:
        name = f"stored_{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def conv(self, source: str, shape: tuple[int, ...], *, stride: int = 1, bias: float = 0.0) -> str:
        weights = self._random.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
        biases = self._random.normal(bias, 0.5, shape[0])
        names = self.constant(weights, np.float32), self.constant(biases, np.float32)
        return str(self.node("Conv", source, *names, strides=[stride, stride]))

    def features(self) -> list[str]:
        """Three maps of 8 channels, at strides 8, 16, 32; a detour as in attention folds one of them."""
        first = self.conv("images", (8, 3, 8, 8), stride=8)
        second = self.conv(first, (8, 8, 2, 2), stride=2)
        columns, rows = self.width // 16, self.height // 16
        flat = self.node("Reshape", second, self.constant([1, 2, 4, rows * columns]))
        second = self.node("Reshape", flat, self.constant([1, 8, rows, columns]))
        return [first, second, self.conv(second, (8, 8, 2, 2), stride=2)]

    def dense(self, maps: list[str]) -> list[tuple[str, int, list[int]]]:
        wide = 64 + CLASSES
        joined = []
        for one in maps:
            both = self.node("Concat", self.conv(one, (64, 8, 1, 1)), self.conv(one, (CLASSES, 8, 1, 1)), axis=1)
            joined.append(self.node("Reshape", both, self.constant([1, wide, -1])))
        together = self.node("Concat", *joined, axis=2)
        sizes = self.constant([64, CLASSES])
        distances, classes = self.node("Split", together, sizes, count=2, axis=1)
        boxes = self._centred(self._distances(distances))
        out = self.node("Concat", boxes, self.node("Sigmoid", classes), axis=1)
        return [(out, TensorProto.FLOAT, [1, 4 + CLASSES, self.total])]

    def end_to_end(self, maps: list[str]) -> list[tuple[str, int, list[int]]]:
        sides = [self.node("Reshape", self.conv(one, (64, 8, 1, 1)), self.constant([1, 64, -1])) for one in maps]
        target = self.constant([1, CLASSES, -1])  # shared, as exporters do
        kinds = [self.node("Reshape", self.conv(one, (CLASSES, 8, 1, 1)), target) for one in maps]
        low, high = self._split(self._distances(self.node("Concat", *sides, axis=-1)))
        centres = self.constant(self._places(0.5, px=False).T[None], np.float32)
        corners = self.node("Concat", self.node("Sub", centres, low), self.node("Add", centres, high), axis=1)
        boxes = self.node("Mul", corners, self.constant(self._strides()[None], np.float32))
        scores = self.node("Sigmoid", self.node("Concat", *kinds, axis=-1))
        rows = self.node("Transpose", self.node("Concat", boxes, scores, axis=1), perm=[0, 2, 1])
        return [(self._top(rows), TensorProto.FLOAT, [1, self.best, 6])]

    def _top(self, rows: str) -> str:
        boxes, scores = self.node("Split", rows, self.constant([4, CLASSES]), count=2, axis=-1)
        flat = self.node("Reshape", scores, self.constant([1, -1]))
        values, index = self.node("TopK", flat, self.constant([self.best]), count=2, axis=1)
        kind, place = (self.node(op, index, self.constant(CLASSES)) for op in ("Mod", "Div"))
        last = self.constant([1, self.best, 1])
        where = self.node("Expand", self.node("Reshape", place, last), self.constant([1, 1, 4]))
        chosen = self.node("GatherElements", boxes, where, axis=1)
        number = self.node("Cast", self.node("Reshape", kind, last), to=TensorProto.FLOAT)
        return str(self.node("Concat", chosen, self.node("Reshape", values, last), number, axis=-1))

    def yolox_grid(self, maps: list[str]) -> list[tuple[str, int, list[int]]]:
        parts = []
        for one in maps:
            box = self.conv(one, (4, 8, 1, 1))
            sure, kinds = (self.node("Sigmoid", self.conv(one, (c, 8, 1, 1), bias=1.0)) for c in (1, CLASSES))
            both = self.node("Concat", box, sure, kinds, axis=1)
            parts.append(self.node("Reshape", both, self.constant([1, 5 + CLASSES, -1])))
        out = self.node("Transpose", self.node("Concat", *parts, axis=2), perm=[0, 2, 1])
        return [(out, TensorProto.FLOAT, [1, self.total, 5 + CLASSES])]

    def yolox_nms(self, maps: list[str]) -> list[tuple[str, int, list[int]]]:
        rows = {c: self._rows(maps, c) for c in (CLASSES, 4, 1)}
        scores = self.node("Mul", self.node("Sigmoid", rows[CLASSES]), self.node("Sigmoid", rows[1]))
        stride = self.constant(np.repeat(self._strides()[:, None], 2, axis=1), np.float32)
        offset, size = self._split(rows[4], axis=2)
        centre = self.node("Mul", offset, stride)
        centre = self.node("Add", centre, self.constant(self._places(0.0, px=True), np.float32))
        half = self.node("Div", self.node("Mul", self.node("Exp", size), stride), self.constant(2.0, np.float32))
        boxes = self.node("Concat", self.node("Sub", centre, half), self.node("Add", centre, half), axis=2)
        best = self.node("ReduceMax", scores, axes=[-1], keepdims=0)
        best = self.node("Squeeze", best, self.constant([0]))
        _, order = self.node("TopK", best, self.constant([self.total]), count=2, axis=0)
        boxes, scores = (self.node("Gather", each, order, axis=1) for each in (boxes, scores))
        return self._suppressed(boxes, self.node("Transpose", scores, perm=[0, 2, 1]))

    def _rows(self, maps: list[str], channels: int) -> str:
        turned = [self.node("Transpose", self.conv(m, (channels, 8, 1, 1), bias=0.5), perm=[0, 2, 3, 1]) for m in maps]
        target = self.constant([1, -1, channels])
        return str(self.node("Concat", *(self.node("Reshape", each, target) for each in turned), axis=1))

    def _suppressed(self, boxes: str, scores: str) -> list[tuple[str, int, list[Any]]]:
        limits = self.constant([200]), self.constant([0.65], np.float32), self.constant([0.01], np.float32)
        kept = self.node("NonMaxSuppression", boxes, scores, *limits)
        kind, place = (self.node("Gather", kept, self.constant(column), axis=1) for column in (1, 2))
        flat = self.node("Reshape", scores, self.constant([-1]))
        where = self.node("Add", self.node("Mul", kind, self.constant([self.total])), place)
        values = self.node("Reshape", self.node("Gather", flat, where), self.constant([1, -1, 1]))
        dets = self.node("Concat", self.node("Gather", boxes, place, axis=1), values, axis=2)
        labels = self.node("Unsqueeze", kind, self.constant([0]))
        return [(dets, TensorProto.FLOAT, [1, "found", 5]), (labels, TensorProto.INT64, [1, "found"])]

    def _distances(self, joined: str) -> str:
        """The expectation of 16 bins for each of four sides."""
        bins = self.node("Reshape", joined, self.constant([1, 4, 16, self.total]))
        if self.bins_last:
            likely = self.node("Softmax", self.node("Transpose", bins, perm=[0, 3, 1, 2]), axis=3)
            likely = self.node("Transpose", likely, perm=[0, 3, 2, 1])
        else:
            likely = self.node("Softmax", self.node("Transpose", bins, perm=[0, 2, 1, 3]), axis=1)
        weights = self.constant(np.arange(16).reshape(1, 16, 1, 1), np.float32)
        return str(self.node("Reshape", self.node("Conv", likely, weights), self.constant([1, 4, self.total])))

    def _centred(self, distances: str) -> str:
        low, high = self._split(distances)
        centres = self.constant(self._places(0.5, px=False).T[None], np.float32)
        first, second = self.node("Sub", centres, low), self.node("Add", centres, high)
        middle = self.node("Div", self.node("Add", first, second), self.constant(2.0, np.float32))
        boxes = self.node("Concat", middle, self.node("Sub", second, first), axis=1)
        return str(self.node("Mul", boxes, self.constant(self._strides()[None], np.float32)))

    def _split(self, source: str, axis: int = 1) -> tuple[str, str]:
        halves = [
            self.node("Slice", source, self.constant([a]), self.constant([b]), self.constant([axis]))
            for a, b in ((0, 2), (2, 4))
        ]
        return halves[0], halves[1]

    def _places(self, offset: float, *, px: bool) -> NDArray[Any]:
        found = [
            ((column + offset) * (stride if px else 1), (row + offset) * (stride if px else 1))
            for stride in STRIDES
            for row in range(self.height // stride)
            for column in range(self.width // stride)
        ]
        return np.array(found)

    def _strides(self) -> NDArray[Any]:
        return np.repeat(np.array(STRIDES), self.cells)


def noise_pictures(count: int) -> list[Image]:
    """Pictures for networks with random weights, which see persons everywhere."""
    random = np.random.default_rng(2)
    return [ArrayImage(random.integers(0, 256, (96, 96, 3), np.uint8)) for _ in range(count)]
