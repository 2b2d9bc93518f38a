"""Pairs: each form computes what the floats do, pooling keeps its source's scale, dead channels keep their bias."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.models.graph.graph import Graph
from detector.models.graph.layers import find_layers, name_nodes
from detector.models.graph.qdq import (
    ALL,
    ONNXRUNTIME,
    OPENVINO,
    TENSORRT,
    QdqStyle,
    quantised,
)


def pooled() -> onnx.ModelProto:
    """A convolution whose second channel is dead but for its bias, SiLU, pooling, and another convolution."""
    random = np.random.default_rng(8)
    first = random.normal(size=(4, 3, 3, 3)).astype(np.float32)
    first[1] = 0
    stored = {
        "w1": first,
        "b1": np.array([0.1, 900.0, -0.2, 0.3], np.float32),
        "w2": random.normal(size=(2, 4, 1, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c"]),
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Mul", ["c", "s"], ["a"]),
        helper.make_node("MaxPool", ["a"], ["p"], kernel_shape=[2, 2]),
        helper.make_node("Conv", ["p", "w2"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 5, 5])],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def picture() -> np.ndarray:
    return np.random.default_rng(9).uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)


def pairs(form: QdqStyle) -> Graph:
    graph = Graph(pooled())
    name_nodes(graph)
    ranges = {
        "x": (-1.0, 1.0),
        "c": (-12.0, 912.0),
        "s": (0.0, 1.0),
        "a": (-0.3, 912.0),
        "p": (-0.3, 912.0),
        "y": (-2000.0, 2000.0),
    }
    model, convolutions = quantised(graph, ranges, (), form)
    assert convolutions == (1 if form.narrowest > 3 else 2)
    return Graph(model)


@pytest.mark.parametrize("form", [ALL, ONNXRUNTIME, OPENVINO, TENSORRT])
def test_every_form_computes_what_the_floats_do(form: QdqStyle, tmp_path: Path) -> None:
    results = []
    for number, model in enumerate((pooled(), pairs(form).finish())):
        path = tmp_path / f"{number}.onnx"
        onnx.save(model, str(path))
        results.append(OnnxRuntimeBackend(path=path, threads=1).run(picture())[0].copy())
    largest = np.abs(results[0]).max()
    assert largest > 100, "the dead channel's bias is what is seen"
    assert np.abs(results[1] - results[0]).max() < 0.02 * largest


def test_pooling_runs_on_the_integers_it_gets() -> None:
    graph = pairs(ALL)
    pool = next(node for node in graph.nodes if node.op_type == "MaxPool")
    before, after = graph.producer(pool.input[0]), graph.consumers(pool.output[0])[0]
    assert before is not None
    assert (before.op_type, after.op_type) == ("DequantizeLinear", "QuantizeLinear")
    values = [[numpy_array(graph, name) for name in node.input[1:]] for node in (before, after)]
    assert values[0] == values[1]


def numpy_array(graph: Graph, name: str) -> list[float]:
    found = graph.constant(name)
    return [] if found is None else np.atleast_1d(found).tolist()


def test_an_activation_belongs_to_its_convolution() -> None:
    graph = Graph(pooled())
    name_nodes(graph)
    first, second = find_layers(graph)
    assert first.nodes == {"Conv_0", "Sigmoid_1", "Mul_2"}
    assert second.nodes == {"Conv_4"}
    assert (first.output, second.output) == ("a", "y")


def test_a_tensor_without_a_range_leaves_its_node_alone() -> None:
    graph = Graph(pooled())
    name_nodes(graph)
    assert quantised(graph, {"x": (-1.0, 1.0)}, (), OPENVINO)[1] == 1


@pytest.mark.parametrize("form", [ALL, ONNXRUNTIME, OPENVINO, TENSORRT])
@pytest.mark.parametrize("limit", [0.0, 1e-38, 1e-30])
def test_a_tensor_that_is_always_next_to_nothing_has_a_scale_to_divide_by(
    form: QdqStyle, limit: float, tmp_path: Path
) -> None:
    graph = Graph(pooled())
    name_nodes(graph)
    model, _ = quantised(graph, dict.fromkeys("xcsapy", (-limit, limit)), (), form)
    onnx.save(Graph(model).finish(), str(tmp_path / "a.onnx"))
    (found,) = OnnxRuntimeBackend(path=tmp_path / "a.onnx", threads=1).run(picture())
    assert np.isfinite(found).all()
