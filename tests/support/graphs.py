"""Small ONNX files that give chosen outputs, made on the spot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, save_model

Arrays = Mapping[str, NDArray[Any]]


def write_constant(
    path: Path,
    outputs: Arrays,
    *,
    input_shape: Sequence[int | str] = (1, 3, 64, 64),
    input_type: int = TensorProto.FLOAT,
    metadata: Mapping[str, str] | None = None,
    opset: int = 13,
    ir_version: int = 8,
    external: bool = False,
) -> Path:
    """A model that answers every picture with `outputs`; `external` puts the numbers in PATH.data."""
    stored = [numpy_helper.from_array(array, f"stored_{name}") for name, array in outputs.items()]
    nodes = [helper.make_node("Identity", [f"stored_{name}"], [name]) for name in outputs]
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in outputs.items()
    ]
    picture = helper.make_tensor_value_info("images", input_type, list(input_shape))
    graph = helper.make_graph(nodes, "constant", [picture], infos, stored)
    return _write(graph, path, metadata or {}, opset, ir_version, external=external)


def write_convolution(path: Path, *, half: bool = False, quantised: bool = False) -> Path:
    """A model that computes: [1,3,64,64] to [1,8,16,16] by one convolution with fixed random weights."""
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    weights = np.random.default_rng(7).normal(size=(8, 3, 4, 4)).astype(np.float16 if half else np.float32)
    nodes = [helper.make_node("Conv", ["seen", "weights"], ["features"], strides=[4, 4])]
    stored = [numpy_helper.from_array(weights, "weights")]
    if quantised:
        stored += [numpy_helper.from_array(np.array(0.01, np.float32), "scale")]
        stored += [numpy_helper.from_array(np.array(0, np.int8), "zero")]
        nodes.insert(0, helper.make_node("DequantizeLinear", ["small", "scale", "zero"], ["seen"]))
        nodes.insert(0, helper.make_node("QuantizeLinear", ["images", "scale", "zero"], ["small"]))
    else:
        nodes.insert(0, helper.make_node("Identity", ["images"], ["seen"]))
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("images", kind, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("features", kind, [1, 8, 16, 16])],
        stored,
    )
    return _write(graph, path, {}, 13, 8, external=False)


def _write(graph: Any, path: Path, metadata: Mapping[str, str], opset: int, ir_version: int, *, external: bool) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    helper.set_model_props(model, dict(metadata))
    save_model(model, str(path), save_as_external_data=external, location=f"{path.name}.data", size_threshold=0)
    return path
