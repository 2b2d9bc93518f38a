"""Half precision: what stays fp32, and that nothing overflows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from detector.inference.factory import load_detector
from detector.inference.spec import InputSpec
from detector.models.graph.fp16 import half
from support.networks import HEADS, Head, network, noise_pictures

UNIT = InputSpec(color="bgr", scale=1.0 / 255.0)


@pytest.mark.parametrize("head", HEADS)
def test_persons_are_the_same_and_inputs_and_outputs_stay_fp32(head: Head, tmp_path: Path) -> None:
    source = network(head)
    made, kept = half(source, noise_pictures(3), name="m", spec=UNIT)
    assert kept == []
    kinds = [info.type.tensor_type.elem_type for info in (*made.graph.input, *made.graph.output)]
    assert TensorProto.FLOAT16 not in kinds
    weights = [tensor.data_type for tensor in made.graph.initializer if len(tensor.dims) == 4]
    assert weights.count(TensorProto.FLOAT16) >= 3, "the backbone"
    seen = []
    for number, model in enumerate((source, made)):
        path = tmp_path / f"{number}.onnx"
        onnx.save(model, str(path))
        detector = load_detector(path=path, name="m", spec=UNIT, threads=1, score_floor=0.2)
        seen.append(detector.detect_image(noise_pictures(1)[0])[1])
        detector.close()
    assert len(seen[0]) == len(seen[1]) > 0
    np.testing.assert_allclose(seen[0], seen[1], atol=0.01)


def test_what_would_overflow_stays_fp32() -> None:
    source = network("dense")
    first = next(node for node in source.graph.node if node.op_type == "Conv")
    second = next(node for node in source.graph.node if node.op_type == "Conv" and first.output[0] in node.input)
    stored = {tensor.name: tensor for tensor in source.graph.initializer}
    for name, factor in ((first.input[1], 1e5), (first.input[2], 1e5), (second.input[1], 1e-5)):
        stored[name].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stored[name]) * np.float32(factor), name))
    made, kept = half(source, noise_pictures(2), name="m", spec=UNIT)
    assert any(name.startswith("Conv") for name in kept)
    assert made.graph.node
    assert half(source, [], name="m", spec=UNIT)[1] == [], "nothing is known without pictures"
