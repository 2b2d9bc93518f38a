"""INT4 weights: packed as ONNX packs them, read so by ONNX Runtime, and a fraction of the size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from detector.inference.backends.onnx_metadata import UNPACK, inspect
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.models.graph.int4 import BLOCK, blockwise, eligible, nibbles_of, pack, ready

RANDOM = np.random.default_rng(5)


def products(*, conv: bool) -> onnx.ModelProto:
    """A picture of 4x4 px through a convolution of 48 weights an output, then MatMul and Gemm (one transposed)."""
    stored = {
        "k": RANDOM.normal(size=(8, 3, 4, 4)),
        "m": RANDOM.normal(size=(48, 40)),
        "g": RANDOM.normal(size=(24, 40)),
        "b": RANDOM.normal(size=(24,)),
        "few": RANDOM.normal(size=(24, 5)),
    }
    first = (
        [helper.make_node("Conv", ["x", "k"], ["c"]), helper.make_node("Reshape", ["c", "flat"], ["f"])]
        if conv
        else [helper.make_node("Reshape", ["x", "flat"], ["f"])]
    )
    if conv:
        stored["m"] = RANDOM.normal(size=(8, 40))
    nodes = [
        *first,
        helper.make_node("MatMul", ["f", "m"], ["p"]),
        helper.make_node("Gemm", ["p", "g", "b"], ["q"], transB=1),
        helper.make_node("MatMul", ["q", "few"], ["y"]),
    ]
    constants = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in stored.items()]
    constants.append(numpy_helper.from_array(np.array([1, -1], np.int64), "flat"))
    if not conv:
        constants = [constant for constant in constants if constant.name != "k"]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, path: Path) -> tuple[np.ndarray, OnnxRuntimeBackend]:
    onnx.save(model, str(path))
    backend = OnnxRuntimeBackend(path=path, threads=1)
    picture = np.random.default_rng(6).normal(size=(1, 3, 4, 4)).astype(np.float32)
    return backend.run(picture)[0].copy(), backend


def unpacked(model: onnx.ModelProto) -> onnx.ModelProto:
    """The packed model with plain floats in place of each block: worked out here, by the ONNX formula."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    stored = {tensor.name: tensor for tensor in made.graph.initializer}
    for node in [node for node in made.graph.node if node.op_type == "DequantizeLinear"]:
        numbers = numpy_helper.to_array(stored[node.input[0]]).astype(np.float32)
        scales = numpy_helper.to_array(stored[node.input[1]])
        axis, block = (next(a.i for a in node.attribute if a.name == name) for name in ("axis", "block_size"))
        wide = np.repeat(scales, block, axis=axis).take(range(numbers.shape[axis]), axis=axis)
        made.graph.initializer.append(numpy_helper.from_array(numbers * wide, node.output[0]))
        made.graph.node.remove(node)
    return made


@pytest.mark.parametrize("conv", [False, True])
def test_onnxruntime_reads_the_blocks_as_the_standard_says(conv: bool, tmp_path: Path) -> None:
    source = products(conv=conv)
    plain = ready(source)
    layers = eligible(plain)
    packed = pack(plain, layers, source=source)
    assert (packed.products, packed.convolutions) == ((1, 1) if conv else (2, 0))
    found, backend = run(packed.model, tmp_path / "packed.onnx")
    expected, _ = run(unpacked(packed.model), tmp_path / "plain.onnx")
    # For products of packed weights it rounds activations to 8 bits as well.
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
    original, _ = run(source, tmp_path / "source.onnx")
    assert np.abs(found - original).max() < 0.6 * np.abs(original).max()
    assert np.abs(found - original).max() > 0
    assert backend.precision == "fp32", "what is computed"


def test_convolutions_alone_are_unpacked_at_load(tmp_path: Path) -> None:
    source = products(conv=True)
    plain = ready(source)
    names = eligible(plain)
    convolution = [node.name for node in plain.graph.node if node.op_type == "Conv"]
    assert set(convolution) < set(names)
    for layers, told in ((convolution, True), (names, False)):
        packed = pack(plain, layers, source=source).model
        onnx.save(packed, str(tmp_path / "m.onnx"))
        assert (UNPACK in inspect(tmp_path / "m.onnx").metadata) is told


def test_layers_with_few_weights_an_output_are_not_eligible() -> None:
    plain = ready(products(conv=False))
    assert len(eligible(plain)) == 2, "the last one's 24 are fewer than a block"
    assert len(eligible(plain, block=16)) == 3
    assert eligible(ready(products(conv=True)), convolutions=False) != eligible(ready(products(conv=True)))


@given(st.integers(1, 5), st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_a_weight_is_at_most_about_half_a_step_off(rows: int, columns: int, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    stored, scales = blockwise(weights, BLOCK)
    assert (stored.min() >= -8, stored.max() <= 7) == (True, True)
    wide = np.repeat(scales, BLOCK, axis=1)[:, :columns]
    plain = np.abs(weights).reshape(rows, -1)
    widest = np.array(
        [[plain[r, c // BLOCK * BLOCK : c // BLOCK * BLOCK + BLOCK].max() for c in range(columns)] for r in range(rows)]
    )
    square = np.square(stored * wide - weights).sum()
    assert square <= np.square(np.rint(weights / (widest / 7)) * (widest / 7) - weights).sum() + 1e-5, (
        "no worse than plain"
    )


def test_two_to_a_byte_the_first_one_low() -> None:
    assert nibbles_of(np.array([[1, -1, 7], [-8, 0, 2]], np.int8)).tolist() == [0xF1, 0x87, 0x20]
    assert nibbles_of(np.array([3], np.int8)).tolist() == [0x03]
