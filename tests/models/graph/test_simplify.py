"""A simplified graph has fewer nodes and gives the very same numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from detector.models.graph import edit
from support.networks import HEADS, Head, network

Model = onnx.ModelProto


def run(model: Model, picture: NDArray[Any]) -> list[NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(None, {session.get_inputs()[0].name: picture})
    return found


def small(nodes: list[onnx.NodeProto], stored: dict[str, NDArray[Any]], batch: int | str = 1) -> Model:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, 32, 32])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def operators(model: Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


PICTURE = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)


def test_what_is_done_twice_is_done_once() -> None:
    one = np.array(1.5, np.float32)
    twice = small(
        [
            helper.make_node("Identity", ["images"], ["copy"]),
            helper.make_node("Mul", ["copy", "a"], ["first"]),
            helper.make_node("Mul", ["images", "b"], ["second"]),
            helper.make_node("Exp", ["first"], ["first_exp"]),
            helper.make_node("Exp", ["second"], ["second_exp"]),
            helper.make_node("Add", ["first_exp", "second_exp"], ["output"]),
        ],
        {"a": one, "b": one.copy()},
    )
    made = edit.simplified(twice)
    assert operators(made) == {"Mul": 1, "Exp": 1, "Add": 1}
    assert len(made.graph.initializer) == 1
    np.testing.assert_array_equal(run(made, PICTURE)[0], run(twice, PICTURE)[0])


def test_other_attributes_are_another_node() -> None:
    sums = [helper.make_node("ReduceMax", ["images"], [f"m{axis}"], axes=[axis], keepdims=1) for axis in (2, 3)]
    both = small([*sums, helper.make_node("Add", ["m2", "m3"], ["output"])], {})
    made = edit.simplified(both)
    assert operators(made) == {"ReduceMax": 2, "Add": 1}
    np.testing.assert_array_equal(run(made, PICTURE)[0], run(both, PICTURE)[0])


def test_an_output_keeps_its_name_and_its_node() -> None:
    whole = small([helper.make_node("Relu", ["images"], ["r"]), helper.make_node("Identity", ["r"], ["output"])], {})
    made = edit.simplified(whole)
    assert [output.name for output in made.graph.output] == ["output"]
    np.testing.assert_array_equal(run(made, PICTURE)[0], run(whole, PICTURE)[0])


@pytest.mark.parametrize("batch", [1, "batch"])
def test_what_follows_from_the_shape_is_folded_where_the_shape_is_fixed(batch: int | str) -> None:
    whole = small(
        [
            helper.make_node("Shape", ["images"], ["shape"]),
            helper.make_node("Gather", ["shape", "two"], ["side"], axis=0),
            helper.make_node("Cast", ["side"], ["as_float"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["images", "as_float"], ["output"]),
        ],
        {"two": np.array(2, np.int64)},
        batch,
    )
    made = edit.simplified(whole)
    assert operators(made) == ({"Div": 1} if batch == 1 else operators(whole))
    np.testing.assert_array_equal(run(made, PICTURE)[0], run(whole, PICTURE)[0])


@pytest.mark.parametrize("head", HEADS)
def test_detectors_give_the_same_numbers(head: Head) -> None:
    whole = network(head)
    made = edit.simplified(whole)
    picture = np.random.default_rng(0).random((1, 3, 96, 96), np.float32)
    for got, expected in zip(run(made, picture), run(whole, picture), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ["yolov10n", "yolo11n"])
def test_real_ones_lose_nodes_not_numbers(name: str, model: Callable[[str], Model]) -> None:
    whole = edit.reshape(model(name), 224, 160)
    made = edit.simplified(whole)
    assert len(made.graph.node) <= len(whole.graph.node)
    picture = np.random.default_rng(0).random((1, 3, 160, 224), np.float32)
    np.testing.assert_array_equal(run(made, picture)[0], run(whole, picture)[0])
