"""INT8 for CPUs: what it refuses, what stays in floats, and that persons are still seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from detector.core.errors import ModelError
from detector.core.types import ArrayImage, Image
from detector.inference.backends.onnx_metadata import INT8_FOR, inspect
from detector.inference.factory import load_detector
from detector.inference.spec import InputSpec
from detector.models.graph.quantize import MIN_PICTURES, quantize_cpu, quantize_openvino
from detector.models.graph.variants import VariantPrecision, prepare
from support.extras import needs_openvino
from support.networks import HEADS, Head, network, noise_pictures

UNIT = InputSpec(color="bgr", scale=1.0 / 255.0)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    onnx.save(network("end-to-end"), str(path))
    return path


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "0 calibration pictures, 0 of them different: at least 16"),
        (noise_pictures(15), "15 calibration pictures, 15 of them different"),
        (noise_pictures(1) * 40, "40 calibration pictures, 1 of them different"),
        ([*noise_pictures(16), ArrayImage(np.zeros((0, 4, 3), np.uint8))], "picture 17 of 17 cannot be used"),
        ([ArrayImage(np.zeros((4, 4), np.uint8))], "picture 1 of 1 cannot be used"),
    ],
)
def test_poor_pictures_are_refused_with_their_count(
    given: list[Image], words: str, small: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=words):
        quantize_cpu(small, given, output=tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_openvino_gets_pairs_before_convolutions_alone(small: Path, tmp_path: Path) -> None:
    quantize_openvino(small, noise_pictures(MIN_PICTURES), spec=UNIT, output=tmp_path / "b.onnx")
    graph = onnx.load(str(tmp_path / "b.onnx")).graph
    readers = {name: node for node in graph.node for name in node.input}
    pairs = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    behind = [readers[readers[pair.output[0]].output[0]].op_type for pair in pairs]
    assert behind == ["Conv"] * 3
    zeros = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    assert {zeros[pair.input[2]].dtype for pair in pairs} == {np.dtype(np.uint8)}


def _runtime_of(small: Path, precision: VariantPrecision, cache: Path) -> str:
    made = prepare(small, precision=precision, pictures=noise_pictures(MIN_PICTURES), spec=UNIT, cache=cache)
    return inspect(made).metadata[INT8_FOR]


def test_a_variant_says_that_it_is_for_onnxruntime(small: Path, tmp_path: Path) -> None:
    assert _runtime_of(small, "int8", tmp_path) == "onnxruntime"


@needs_openvino
def test_a_variant_says_that_it_is_for_openvino(small: Path, tmp_path: Path) -> None:
    assert _runtime_of(small, "int8-openvino", tmp_path) == "openvino"


@pytest.mark.parametrize("head", HEADS)
def test_decoding_and_last_convolutions_stay_in_floats(head: Head, tmp_path: Path) -> None:
    source, output = tmp_path / "a.onnx", tmp_path / "b.onnx"
    onnx.save(network(head), str(source))
    quantize_cpu(source, noise_pictures(MIN_PICTURES), spec=UNIT, output=output)
    model = onnx.load(str(output))
    makers = {name: node for node in model.graph.node for name in node.output}
    read = [makers[node.input[1]] for node in model.graph.node if node.op_type == "Conv" and node.input[1] in makers]
    assert len(read) == 2, "of the backbone's three the two that do not read the picture"
    scales = {t.name: list(t.dims) for t in model.graph.initializer}
    assert all(scales[node.input[1]] == [8] for node in read)
    quantised = [makers.get(node.input[0]) for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert {node.op_type for node in quantised if node} <= {"Conv", "Reshape"}


def test_more_layers_stay_in_floats_when_asked(small: Path, tmp_path: Path) -> None:
    counts = []
    for layers in (0, 1, 2):
        output = tmp_path / f"{layers}.onnx"
        quantize_cpu(small, noise_pictures(MIN_PICTURES), spec=UNIT, output=output, float_layers=layers)
        made = onnx.load(str(output))
        makers = {name: node.op_type for node in made.graph.node for name in node.output}
        counts.append(sum(makers.get(n.input[1]) == "DequantizeLinear" for n in made.graph.node if n.op_type == "Conv"))
    assert counts == [8, 2, 1], "nine in all, one reads the picture, six are last; two maps' makers are next to last"
    with pytest.raises(ValueError, match="negative"):
        quantize_cpu(small, noise_pictures(MIN_PICTURES), output=tmp_path / "x.onnx", float_layers=-1)


@pytest.mark.optimize
def test_real_model_still_sees_the_street(
    model_file: Callable[[str], Path], photos: list[Image], street: list[Image], tmp_path: Path
) -> None:
    path = model_file("yolox_tiny_humanart")
    small = prepare(path, shape=(416, 256), precision="int8", pictures=[*photos, *street], cache=tmp_path)
    counts = []
    for file in (prepare(path, shape=(416, 256), cache=tmp_path), small):
        detector = load_detector(path=file, name="m", score_floor=0.5, threads=1)
        counts.append(sum(len(detector.detect_image(frame)[1]) for frame in street))
        detector.close()
    assert counts[0] >= 8
    assert abs(counts[1] - counts[0]) <= 2
