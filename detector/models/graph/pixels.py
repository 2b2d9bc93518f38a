"""Adds preprocessing to a graph: from bytes to the model's float input."""

from __future__ import annotations

import numpy as np
import onnx

from detector.core.errors import ModelError
from detector.inference.spec import InputSpec

from .graph import Graph

NAME = "pixels"


def take_pixels(graph: Graph, spec: InputSpec) -> None:
    """Replace the float input by `pixels`, uint8 [1,height,width,3] BGR; raises ModelError.

    Bytes are transposed to planes before the conversion to float, which moves a quarter of the memory. There is one
    multiplication by `spec.scale` in float32, as outside, so the values are the same to the last bit.
    """
    old = graph.model.graph.input[0]
    kind = old.type.tensor_type.elem_type
    sides = [dim.dim_value for dim in old.type.tensor_type.shape.dim]
    if graph.input == NAME or len(sides) != 4 or not all(sides) or kind != onnx.TensorProto.FLOAT:
        raise ModelError("preprocessing can be folded into models of float32 pictures and a fixed size alone")
    if spec.normalised:
        raise ModelError("a model that wants mean and standard deviation keeps its preprocessing outside")
    readers = graph.consumers(old.name)
    planes = graph.add("Transpose", [NAME], hint="planes", perm=[0, 3, 1, 2])
    if spec.color == "rgb":
        order = graph.add_constant(np.array([2, 1, 0], np.int64), "order")
        planes = graph.add("Gather", [planes, order], hint="rgb", axis=1)
    values = graph.add("Cast", [planes], hint="values", to=onnx.TensorProto.FLOAT)
    if spec.scale != 1.0:
        scale = graph.add_constant(np.array(spec.scale, np.float32), "scale")
        values = graph.add("Mul", [values, scale], hint="scaled")
    for node in readers:
        for index, name in enumerate(node.input):
            if name == old.name:
                node.input[index] = values
    batch, channels, height, width = sides
    shape = [batch, height, width, channels]
    old.CopyFrom(onnx.helper.make_tensor_value_info(NAME, onnx.TensorProto.UINT8, shape))
