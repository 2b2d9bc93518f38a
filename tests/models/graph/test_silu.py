from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.spec import InputSpec
from detector.models.graph.graph import Graph
from detector.models.graph.layers import name_nodes
from detector.models.graph.quantize import MIN_PICTURES, quantize_cpu, quantize_openvino
from detector.models.graph.silu import Silu, fuse, silus
from support.networks import network, noise_pictures


def gated(*nodes: onnx.NodeProto, outputs: tuple[str, ...] = ("y",)) -> onnx.ModelProto:
    made = helper.make_graph(
        [helper.make_node("Relu", ["images"], ["x"]), *nodes],
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 4, 4]) for name in outputs],
    )
    graph = Graph(helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8))
    name_nodes(graph)
    return graph.finish()


SIGMOID = helper.make_node("Sigmoid", ["x"], ["s"])
PRODUCTS = [helper.make_node("Mul", order, ["y"]) for order in (["x", "s"], ["s", "x"])]


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_product_with_its_own_sigmoid_becomes_one_operator_that_computes_the_same(
    product: onnx.NodeProto, tmp_path: Path
) -> None:
    model = gated(SIGMOID, product)
    assert silus(Graph(model)) == [Silu("x", "Sigmoid_1", "Mul_2")]
    picture = np.random.default_rng(0).normal(0, 4, (1, 3, 4, 4)).astype(np.float32)
    found = []
    for name in ("before", "after"):
        onnx.save(model, str(tmp_path / f"{name}.onnx"))
        found.append(OnnxRuntimeBackend(path=tmp_path / f"{name}.onnx", threads=1).run(picture)[0].copy())
        fuse(model)
    assert [node.op_type for node in model.graph.node] == ["Relu", "QuickGelu"]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6)
    assert found[0].max() > 3


@pytest.mark.parametrize(
    "model",
    [
        gated(SIGMOID, PRODUCTS[0], helper.make_node("Add", ["s", "x"], ["z"]), outputs=("y", "z")),
        gated(SIGMOID, PRODUCTS[0], outputs=("y", "s")),
        gated(helper.make_node("Sigmoid", ["images"], ["s"]), PRODUCTS[0]),
        gated(helper.make_node("Tanh", ["x"], ["s"]), PRODUCTS[0]),
    ],
    ids=["the sigmoid is read elsewhere", "it is an output", "of another tensor", "no sigmoid"],
)
def test_what_only_looks_like_it_stays(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    fuse(model)
    assert model.SerializeToString() == before


def activated(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with a SiLU behind its first convolution."""
    nodes = list(model.graph.node)
    at = next(index for index, node in enumerate(nodes) if node.op_type == "Conv")
    value = nodes[at].output[0]
    for node in nodes[at + 1 :]:
        for index, name in enumerate(node.input):
            if name == value:
                node.input[index] = "active"
    gate = helper.make_node("Sigmoid", [value], ["gate"]), helper.make_node("Mul", [value, "gate"], ["active"])
    del model.graph.node[:]
    model.graph.node.extend([*nodes[: at + 1], *gate, *nodes[at + 1 :]])
    return model


def test_int8_for_onnx_runtime_keeps_it_in_floats_as_one_operator(tmp_path: Path) -> None:
    source = tmp_path / "a.onnx"
    onnx.save(activated(network("dense")), str(source))
    spec, kinds = InputSpec(color="rgb", scale=1 / 255), {}
    for name, quantise in (("ort", quantize_cpu), ("openvino", quantize_openvino)):
        quantise(source, noise_pictures(MIN_PICTURES), spec=spec, output=tmp_path / name)
        kinds[name] = [node.op_type for node in onnx.load(str(tmp_path / name)).graph.node]
    assert kinds["ort"].count("QuickGelu") == 1
    assert "QuickGelu" not in kinds["openvino"], "which fuses it by itself"
    assert kinds["openvino"].count("Sigmoid") == kinds["ort"].count("Sigmoid") + 1
