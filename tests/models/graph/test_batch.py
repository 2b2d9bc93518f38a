from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from detector.core.errors import ModelError
from detector.core.types import Floats, Image
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.models.graph.edit import open_batch, person_only, steps_of
from support.networks import HEADS, Head, network

Load = Callable[[str], onnx.ModelProto]


def backend_of(model: onnx.ModelProto, path: Path) -> OnnxRuntimeBackend:
    onnx.save(model, str(path))
    return OnnxRuntimeBackend(path=path, threads=2)


def assert_kept_apart(model: onnx.ModelProto, tensors: Floats, folder: Path) -> None:
    """Each picture of a batch gives, to the last bit, what the unchanged model gives for it alone."""
    plain = backend_of(model, folder / "plain.onnx")
    opened = backend_of(open_batch(model), folder / "open.onnx")
    together = opened.run(tensors)
    for index in range(len(tensors)):
        for whole, alone in zip(together, plain.run(tensors[index : index + 1]), strict=True):
            np.testing.assert_array_equal(whole[index], alone[0])


@pytest.mark.parametrize("name", ["yolox_nano", "yolov10n"])
def test_pictures_of_a_batch_are_kept_apart(name: str, model: Load, photos: list[Image], tmp_path: Path) -> None:
    whole = model(name)
    shape = [dim.dim_value for dim in whole.graph.input[0].type.tensor_type.shape.dim]
    tensors = np.random.default_rng(0).random((3, *shape[1:]), np.float32)
    assert_kept_apart(whole, tensors if name == "yolov10n" else tensors * 255, tmp_path)


@pytest.mark.parametrize("head", HEADS)
def test_every_kind_of_head(head: Head, tmp_path: Path) -> None:
    whole = network(head)
    if head == "yolox-nms":
        whole = person_only(whole)
    shape = [dim.dim_value for dim in whole.graph.input[0].type.tensor_type.shape.dim]
    assert_kept_apart(whole, np.random.default_rng(0).random((4, *shape[1:]), np.float32), tmp_path)


def test_what_is_open_stays_and_what_was_done_is_told(model: Load) -> None:
    made = open_batch(model("yolox_nano"))
    assert steps_of(made) == "open batch"
    assert open_batch(made) is made
    sides = [info.type.tensor_type.shape.dim[0].dim_param for info in (*made.graph.input, *made.graph.output)]
    assert sides == ["batch", "batch"]


def test_shapes_that_are_worked_out_are_refused() -> None:
    whole = network(HEADS[0])
    graph = whole.graph
    graph.node.append(onnx.helper.make_node("Shape", [graph.input[0].name], ["its_shape"]))
    graph.node.append(onnx.helper.make_node("Reshape", [graph.input[0].name, "its_shape"], ["again"]))
    graph.output.append(onnx.helper.make_tensor_value_info("again", onnx.TensorProto.FLOAT, None))
    with pytest.raises(ModelError, match="works out shapes as it runs"):
        open_batch(whole)
