"""TensorRT's form of INT8: signed and symmetric, convolutions alone; TensorRT-RTX reads and builds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from detector.core.types import Image
from detector.models.engines.builder import BuildRequest, build
from detector.models.graph.quantize import MIN_PICTURES, quantize_tensorrt
from detector.models.registry import load_registry
from support.networks import HEADS, Head, network, noise_pictures


@pytest.mark.parametrize("head", HEADS)
def test_pairs_are_symmetric_and_each_convolution_has_its_own(head: Head, tmp_path: Path) -> None:
    source, output = tmp_path / "a.onnx", tmp_path / "b.onnx"
    onnx.save(network(head), str(source))
    quantize_tensorrt(source, noise_pictures(MIN_PICTURES), output=output)
    graph = onnx.load(str(output)).graph
    makers = {name: node for node in graph.node for name in node.output}
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    pairs = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert len(pairs) == 3, "the three convolutions of the backbone"
    for pair in pairs:
        zero = stored[pair.input[2]]
        assert zero.dtype == np.int8
        assert int(zero) == 0
    int8 = [node for node in graph.node if node.op_type == "Conv" and node.input[1] in makers]
    assert len({makers[node.input[0]].input[0] for node in int8}) == len(int8) == 3
    for node in int8:
        weights, scale, zeros = (stored[name] for name in makers[node.input[1]].input)
        assert weights.dtype == np.int8
        assert abs(weights.astype(int)).max() == 127, "the whole range is used"
        assert scale.shape == zeros.shape == (len(weights),)
        assert not zeros.any()
        assert stored[node.input[2]].dtype == np.float32, "TensorRT adds biases in floats"


@pytest.mark.optimize
@pytest.mark.parametrize("name", ["yolox_tiny_humanart", "yolov10n", "yolox_nano", "yolov8n", "yolo11n"])
def test_tensorrt_builds_every_model_of_the_registry(
    name: str, model_file: Callable[[str], Path], photos: list[Image], tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the extra tensorrt-rtx (make test-optimize)")
    found = load_registry().resolve(model_file(name))
    output = tmp_path / "int8.onnx"
    quantize_tensorrt(found.path, photos, output=output, spec=found.spec)
    made = build(BuildRequest(model=output, output=tmp_path / "m.engine", name=name, spec=found.spec))
    assert made.recipe.precision == "int8"
