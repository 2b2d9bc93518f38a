"""A convolutional ONNX graph as a PyTorch network, so that a registry model can be trained and written back as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

from detector.core.errors import ModelError
from detector.models.graph.graph import Graph, attribute

_Operator = Callable[[onnx.NodeProto, Sequence[Any]], Any]


class GraphNetwork(nn.Module):
    """Runs `model` node by node; the weights and biases of its convolutions are the parameters.

    Raises ModelError for an operator that is not known here.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        graph = Graph(model)
        self._nodes, self._input, self._output = list(graph.nodes), graph.input, graph.outputs[0]
        if unknown := sorted({node.op_type for node in self._nodes} - _OPERATORS.keys()):
            raise ModelError(f"this model cannot be trained here: its operator {unknown[0]} is not known")
        trained = {name for node in self._nodes if node.op_type == "Conv" for name in node.input[1:]}
        self._names = [name for name in graph.constants() if name in trained]
        arrays = {name: graph.constant(name) for name in graph.constants()}
        self.weights = nn.ParameterList(nn.Parameter(torch.from_numpy(np.array(arrays[name]))) for name in self._names)
        self._fixed = {name: array for name, array in arrays.items() if name not in trained}
        self._last_use = {name: index for index, node in enumerate(self._nodes) for name in node.input}

    def forward(self, pictures: Any) -> Any:
        """The graph's first output for pictures [B,3,H,W] as the model's input takes them."""
        values: dict[str, Any] = {**self._fixed, **dict(zip(self._names, self.weights, strict=True))}
        values[self._input] = pictures
        for index, node in enumerate(self._nodes):
            values[node.output[0]] = _OPERATORS[node.op_type](
                node, [values[name] if name else None for name in node.input]
            )
            for name in set(node.input):
                if self._last_use[name] == index and name != self._output:
                    values.pop(name, None)  # gradients hold what they need
        return values[self._output]

    def written_into(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """A copy of `model` with the weights as they are now."""
        made = onnx.ModelProto()
        made.CopyFrom(model)
        places = {tensor.name: tensor for tensor in made.graph.initializer}
        for name, weight in zip(self._names, self.weights, strict=True):
            places[name].CopyFrom(numpy_helper.from_array(weight.detach().numpy(), name))
        return made


def _conv(node: onnx.NodeProto, inputs: Sequence[Any]) -> Any:
    bias = inputs[2] if len(inputs) > 2 else None
    pads = attribute(node, "pads", [0, 0, 0, 0])
    if list(pads[:2]) != list(pads[2:]) or attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b""):
        raise ModelError("this model cannot be trained here: a convolution pads one side more than the other")
    steps, spread = attribute(node, "strides", [1, 1]), attribute(node, "dilations", [1, 1])
    return functional.conv2d(
        inputs[0], inputs[1], bias, tuple(steps), tuple(pads[:2]), tuple(spread), attribute(node, "group", 1)
    )


def _max_pool(node: onnx.NodeProto, inputs: Sequence[Any]) -> Any:
    kernel, steps = attribute(node, "kernel_shape"), attribute(node, "strides", [1, 1])
    return functional.max_pool2d(
        inputs[0], tuple(kernel), tuple(steps), tuple(attribute(node, "pads", [0, 0, 0, 0])[:2])
    )


def _resize(node: onnx.NodeProto, inputs: Sequence[Any]) -> Any:
    scales = None if len(inputs) < 3 or inputs[2] is None else np.asarray(inputs[2]).reshape(-1)
    whole = scales is not None and scales.size == 4 and all(float(scale).is_integer() for scale in scales)
    if attribute(node, "mode", b"nearest") != b"nearest" or not whole or scales is None:
        raise ModelError("this model cannot be trained here: it resizes by other than a whole factor")
    return functional.interpolate(inputs[0], scale_factor=(float(scales[2]), float(scales[3])), mode="nearest")


def _slice(_node: onnx.NodeProto, inputs: Sequence[Any]) -> Any:
    starts, ends, axes, steps = (np.asarray(each).reshape(-1).tolist() for each in inputs[1:5])
    where = [slice(None)] * inputs[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        where[axis] = slice(start, end, step)
    return inputs[0][tuple(where)]


def _reshape(_node: onnx.NodeProto, inputs: Sequence[Any]) -> Any:
    target = np.asarray(inputs[1]).reshape(-1).tolist()
    return inputs[0].reshape(inputs[0].shape[0], *target[1:])  # the file's batch is 1, training's is not


_OPERATORS: Mapping[str, _Operator] = {
    "Add": lambda _node, inputs: inputs[0] + inputs[1],
    "Concat": lambda node, inputs: torch.cat(list(inputs), attribute(node, "axis")),
    "Conv": _conv,
    "MaxPool": _max_pool,
    "Mul": lambda _node, inputs: inputs[0] * inputs[1],
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": lambda _node, inputs: torch.sigmoid(inputs[0]),
    "Slice": _slice,
    "Transpose": lambda node, inputs: inputs[0].permute(tuple(attribute(node, "perm"))),
}
