"""Model files as other projects export them: the right shapes and meaning, two known persons in them.

Each gives the same persons in every picture: A, score 0.9, and B, score 0.6 (px of a 640 x 640 input).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from detector.core.types import ArrayImage
from detector.inference.detector import PersonDetector
from detector.inference.spec import InputSpec

from .graphs import write_constant

SIDE, CELLS = 640, 8400
A, B = (100.0, 50.0, 220.0, 410.0), (300.0, 200.0, 380.0, 420.0)
PERSONS = np.array([A, B], np.float32)
SCORES = np.array([0.9, 0.6], np.float32)
COCO = {"names": str({index: "person" if index == 0 else f"thing {index}" for index in range(80)})}
Array = NDArray[Any]
PICTURE = ArrayImage(np.full((SIDE, SIDE, 3), 90, np.uint8))
SPEC = InputSpec(color="rgb", scale=1 / 255)


def write(path: Path, outputs: Mapping[str, Array], metadata: Mapping[str, str] | None = None, **options: Any) -> Path:
    """A model of 640 x 640 px that answers every picture with `outputs`."""
    options.setdefault("input_shape", (1, 3, SIDE, SIDE))
    typed = {name: array.astype(np.float32) if array.dtype == np.float64 else array for name, array in outputs.items()}
    return write_constant(path, typed, metadata=metadata, **options)


def write_bright(path: Path, rows: Array) -> Path:
    """A model that gives `rows` [N,M] for a picture whose first pixel is white, and no row for any other."""
    node, tensor = onnx.helper.make_node, onnx.numpy_helper.from_array
    stored: dict[str, Array] = {
        "rows": rows.astype(np.float32),
        "start": np.zeros(4, np.int64),
        "end": np.ones(4, np.int64),
        "flat": np.array([1], np.int64),
        "white": np.array([0.9], np.float32),
        "all": np.array([len(rows)], np.int64),
        "from": np.array([0], np.int64),
    }
    nodes = [
        node("Slice", ["images", "start", "end"], ["corner"]),
        node("Reshape", ["corner", "flat"], ["pixel"]),
        node("Greater", ["pixel", "white"], ["bright"]),
        node("Cast", ["bright"], ["one"], to=onnx.TensorProto.INT64),
        node("Mul", ["one", "all"], ["count"]),
        node("Slice", ["rows", "from", "count"], ["output"]),
    ]
    picture = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    output = onnx.helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, ["n", rows.shape[1]])
    tensors = [tensor(array, name) for name, array in stored.items()]
    graph = onnx.helper.make_graph(nodes, "bright", [picture], [output], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def corners(count: int, *, seed: int = 1) -> Array:
    """Boxes [count,4] of nobody, x1, y1, x2, y2 in px; A and B are the 4th and the 6th."""
    random = np.random.default_rng(seed)
    low = random.uniform(0, 500, (count, 2))
    boxes = np.concatenate((low, low + random.uniform(20, 139, (count, 2))), axis=1).astype(np.float32)
    boxes[3], boxes[5] = A, B
    return boxes


def centres(boxes: Array) -> Array:
    """Corners as cx, cy, w, h."""
    return np.concatenate(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]), axis=1)


def scores(count: int, classes: int, *, person: int = 0) -> Array:
    """Scores [count,classes], the persons' in their rows, nothing else above 0.05."""
    found = np.random.default_rng(2).uniform(0.001, 0.05, (count, classes)).astype(np.float32)
    found[3, person], found[5, person] = SCORES
    return found


def logits(values: Array) -> Array:
    """What the sigmoid makes `values` of."""
    found: Array = np.log(values / (1 - values))
    return found


def classes_of(count: int, *, person: int = 0, other: int = 7) -> Array:
    """Class numbers [count]: the persons' rows are persons."""
    found = np.full(count, other, np.float32)
    found[[3, 5]] = person
    return found


def joined_rows(boxes: Array, *columns: Array) -> Array:
    """Boxes [N,4] and further columns as one output [1,N,4+columns]."""
    return np.concatenate((boxes, *(column.reshape(len(boxes), -1) for column in columns)), axis=1)[None]


def open_shapes(path: Path, output: list[int | str], picture: list[int | str] | None = None) -> None:
    """Leaves lengths of the first output, and of the input, open."""
    model = onnx.load(str(path))
    for info, sides in ((model.graph.output[0], output), (model.graph.input[0], picture)):
        for dim, side in zip(info.type.tensor_type.shape.dim, sides or [], strict=False):
            dim.Clear()
            if isinstance(side, int):
                dim.dim_value = side
            else:
                dim.dim_param = side
    onnx.save(model, str(path))


def add_input(path: Path, name: str, kind: int, shape: list[int | str]) -> None:
    """One more input, which the graph reads."""
    model = onnx.load(str(path))
    model.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, shape))
    model.graph.node.append(onnx.helper.make_node("Identity", [name], [f"{name}_read"]))
    onnx.save(model, str(path))


def sees(detector: PersonDetector, *, atol: float = 0.1) -> None:
    """Both persons and nobody else."""
    boxes, found, _ = detector.detect_image(PICTURE)
    np.testing.assert_allclose(found, SCORES, atol=2e-3)
    np.testing.assert_allclose(boxes, PERSONS, atol=atol)
