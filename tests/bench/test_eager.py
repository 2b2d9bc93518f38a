"""PyTorch eager rebuilt from ONNX graphs: the same boxes as ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bench.eager import EagerBackend
from detector.capture.pictures import folder_pictures
from detector.core.errors import ModelError
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.detector import PersonDetector
from detector.models.registry import load_registry
from support.networks import HEADS, Head, network
from support.studies import assert_same_persons

pytestmark = pytest.mark.optimize


@pytest.fixture(autouse=True)
def _torch() -> None:
    pytest.importorskip("torch", reason="needs PyTorch")


def tensor(side: int = 96) -> Any:
    return np.random.default_rng(4).random((1, 3, side, side), np.float32)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_small_networks_give_the_same_numbers(head: Head, folded: bool, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    onnx.save(network(head), str(path))
    wanted = OnnxRuntimeBackend(path=path, threads=1).run(tensor())
    backend = EagerBackend(path=path, threads=1, folded=folded)
    found = backend.run(tensor())
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4)
    backend.close()


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("name", ["yolov10n", "yolox_tiny_humanart"])
def test_real_models_see_the_same_persons(name: str, folded: bool, shared: Path) -> None:
    model = shared / "models" / f"{name}.onnx"
    pictures = list(folder_pictures(shared / "media/coco/images", count=4))
    backend, spec = EagerBackend(path=model, threads=1, folded=folded), load_registry().resolve(model).spec
    assert_same_persons(model, PersonDetector(model_name="m", backend=backend, spec=spec, score_floor=0.01), pictures)


def test_as_loaded_there_is_a_normalisation_behind_each_activated_convolution(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "silu.onnx"
    onnx.save(_activated(), str(path))
    calls = {}
    for folded in (False, True):
        backend = EagerBackend(path=path, threads=1, folded=folded)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            backend.run(tensor())
        calls[folded] = {event.key for event in profile.key_averages()}
    assert "aten::batch_norm" in calls[False]
    assert "aten::batch_norm" not in calls[True]
    assert all("aten::silu" in names and "aten::sigmoid" not in names for names in calls.values())


def test_an_operator_that_is_not_known_is_named(tmp_path: Path) -> None:
    model = network("dense")
    model.graph.node[-1].op_type = "Einsum"
    path = tmp_path / "odd.onnx"
    onnx.save(model, str(path))
    with pytest.raises(ModelError, match="operator Einsum is not known"):
        EagerBackend(path=path, threads=1)


def _activated() -> onnx.ModelProto:
    """A dense head on one convolution with SiLU."""
    random = np.random.default_rng(2)
    stored = [
        onnx.numpy_helper.from_array(random.normal(size=(5, 3, 8, 8)).astype(np.float32), "weights"),
        onnx.numpy_helper.from_array(random.normal(size=5).astype(np.float32), "bias"),
        onnx.numpy_helper.from_array(np.array([1, 5, 144]), "flat"),
        onnx.numpy_helper.from_array(np.zeros((1, 5, 45), np.float32), "rest"),
    ]
    nodes = [
        helper.make_node("Conv", ["images", "weights", "bias"], ["c"], strides=[8, 8]),
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Mul", ["s", "c"], ["a"]),
        helper.make_node("Reshape", ["a", "flat"], ["r"]),
        helper.make_node("Concat", ["r", "rest"], ["out"], axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "activated",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 96, 96])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 5, 189])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
