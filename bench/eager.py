"""A model's network in PyTorch, eager and FP32, rebuilt from its ONNX graph: the baseline of `bench.optimize` where there is no checkpoint.

Every operator is the torch function that a hand-written module would call; `x * sigmoid(x)` is silu. Operators
follow ONNX's own definitions (onnx.ai/onnx/operators).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from bench.eager_operators import OPERATORS, Convolution, import_torch, silu
from detector.core.errors import InferenceError, ModelError, one_line
from detector.core.types import Floats
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.tensors import TensorSpec
from detector.models.graph.edit import is_dynamic, layout_of
from detector.models.graph.freeze import freeze
from detector.models.graph.graph import Graph


@dataclass(frozen=True, slots=True)
class _Step:
    """One call: `function` of the tensors `inputs` gives `outputs`; `dropped` are read here for the last time."""

    function: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dropped: tuple[str, ...]


class EagerBackend:
    """The graph at `path` on PyTorch, on the CPU. Used by one thread; raises ModelError.

    `folded` False puts the batch normalisation back behind each convolution that has an activation, as trained
    networks have it and exporters fold it away: an identity that carries the bias, so the results stay the same
    and the cost is that of the network as it is loaded. `threads` are torch's, for the whole process.
    """

    name, provider, precision = "pytorch", "CPU", "fp32"

    def __init__(self, *, path: Path, threads: int, folded: bool = False) -> None:
        torch = import_torch()
        torch.set_num_threads(threads)
        file = inspect(path)
        model = onnx.load(str(path))
        layout = layout_of(model)
        graph = Graph(model)
        if is_dynamic(model):
            freeze(graph, layout.width, layout.height)
        self.version: str = torch.__version__
        self.digest = file.digest
        self.metadata: Mapping[str, str] = file.metadata
        self.inputs = (TensorSpec(graph.input, (1, 3, layout.height, layout.width), "float32"),)
        self.outputs = tuple(_spec(output) for output in model.graph.output)
        self._torch = torch
        self._weights = _weights(torch, graph)
        self._steps = _steps(graph, self._weights, folded=folded)
        self._names = graph.outputs

    def run(self, tensor: Floats) -> tuple[NDArray[Any], ...]:
        if not self._steps:
            raise InferenceError("the model was closed")
        known = {**self._weights, self.inputs[0].name: self._torch.from_numpy(tensor), "": None}
        try:
            with self._torch.inference_mode():
                for step in self._steps:
                    found = step.function(*[known[name] for name in step.inputs])
                    known.update(zip(step.outputs, found if isinstance(found, tuple) else (found,), strict=False))
                    for name in step.dropped:
                        del known[name]
        except (RuntimeError, TypeError, IndexError) as error:
            raise InferenceError(f"pytorch could not run the model: {one_line(error)}") from None
        return tuple(known[name].numpy() for name in self._names)

    def close(self) -> None:
        self._steps, self._weights = [], {}


def _weights(torch: Any, graph: Graph) -> dict[str, Any]:
    found = {}
    for name in graph.constants():
        values = graph.constant(name)
        if values is not None:
            found[name] = torch.from_numpy(np.array(values))  # a copy: torch warns of memory that it may not write
    return found


def _steps(graph: Graph, weights: Mapping[str, Any], *, folded: bool) -> list[_Step]:
    nodes = [(node, _function(node, graph.opset)) for node in graph.nodes]
    nodes = _with_silu(nodes, graph)
    calls = [
        (node, function.normalised() if not folded and _activated(node, graph) else function)
        for node, function in nodes
        for function in (function if isinstance(function, Convolution) else _Plain(function),)
    ]
    left = Counter(name for node, _ in calls for name in node.input)
    steps = []
    for node, function in calls:
        left.subtract(node.input)
        dropped = {n for n in node.input if n and not left[n] and n not in weights and n not in graph.outputs}
        steps.append(_Step(function, tuple(node.input), tuple(node.output), tuple(dropped - {graph.input})))
    return steps


class _Plain:
    """A function that has no second form."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *tensors: Any) -> Any:
        return self._function(*tensors)

    def normalised(self) -> Callable[..., Any]:
        return self._function


def _function(node: onnx.NodeProto, opset: int) -> Callable[..., Any]:
    make = OPERATORS.get(node.op_type)
    if make is None or node.domain not in ("", "ai.onnx"):
        raise ModelError(f"PyTorch's eager form of the operator {node.op_type} is not known: no such baseline")
    attributes = {item.name: _value(item) for item in node.attribute}
    return make(attributes, opset)


def _value(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return value.decode() if isinstance(value, bytes) else value


def _with_silu(
    nodes: Sequence[tuple[onnx.NodeProto, Callable[..., Any]]], graph: Graph
) -> list[tuple[onnx.NodeProto, Callable[..., Any]]]:
    """Each `Mul(x, Sigmoid(x))` as one call in the Mul's place; its Sigmoid goes."""
    gone: set[str] = set()
    merged: dict[str, onnx.NodeProto] = {}
    for node, _ in nodes:
        for source, gate in (tuple(node.input), tuple(reversed(node.input))) if node.op_type == "Mul" else ():
            maker = graph.producer(gate)
            gated = maker is not None and maker.op_type == "Sigmoid" and maker.input[0] == source
            if gated and len(graph.consumers(gate)) == 1 and gate not in graph.outputs:
                gone.add(gate)
                merged[node.output[0]] = onnx.helper.make_node("Silu", [source], list(node.output))
    return [
        (merged[node.output[0]], silu) if node.output[0] in merged else (node, function)
        for node, function in nodes
        if node.output[0] not in gone
    ]


def _activated(node: onnx.NodeProto, graph: Graph) -> bool:
    """Whether a convolution's result goes into an activation: where trained networks normalise."""
    if node.op_type != "Conv" or len(node.input) < 3:
        return False
    return any(
        reader.op_type in ("Sigmoid", "Relu", "LeakyRelu", "HardSwish") for reader in graph.consumers(node.output[0])
    )


def _spec(info: onnx.ValueInfoProto) -> TensorSpec:
    kind = info.type.tensor_type
    shape = tuple(dim.dim_value or None for dim in kind.shape.dim)
    return TensorSpec(info.name, shape, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name)
