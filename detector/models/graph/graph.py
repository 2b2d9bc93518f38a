"""An editable ONNX graph: producers and readers of tensors, constants, shapes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, shape_inference

from detector.core.errors import ModelError

Array = NDArray[Any]
Shape = tuple[int, ...]
_SMALL = 1024  # numbers of a constant that shape inference may need to see: a target, not a weight


class Graph:
    """A private copy of `model`, with its Constant nodes as initialisers.

    Raises ModelError for a graph with subgraphs (If, Loop), which edits would miss; no detector has them.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self._graph = self.model.graph
        self._constants: dict[str, Array] = {}
        if any(item.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for item in self._attributes()):
            raise ModelError("this model's graph branches inside (If, Loop): export it without control flow")
        self._lift_constants()
        del self._graph.value_info[:]

    @property
    def nodes(self) -> Sequence[onnx.NodeProto]:
        found: Sequence[onnx.NodeProto] = self._graph.node
        return found

    @property
    def opset(self) -> int:
        return next((entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx")), 0)

    @property
    def outputs(self) -> list[str]:
        return [output.name for output in self._graph.output]

    @property
    def input(self) -> str:
        """The name of the only input; raises ModelError if there are several."""
        if len(self._graph.input) != 1:
            raise ModelError(f"this model has {len(self._graph.input)} inputs: one picture is needed")
        return str(self._graph.input[0].name)

    def producer(self, name: str) -> onnx.NodeProto | None:
        return next((node for node in self.nodes if name in node.output), None)

    def consumers(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if name in node.input]

    def constants(self) -> list[str]:
        return [tensor.name for tensor in self._graph.initializer]

    def constant(self, name: str) -> Array | None:
        """The values of an initialiser; None if `name` is computed."""
        if name not in self._constants:
            found = next((tensor for tensor in self._graph.initializer if tensor.name == name), None)
            if found is None:
                return None
            self._constants[name] = numpy_helper.to_array(found)
        return self._constants[name]

    def add_constant(self, array: Array, hint: str) -> str:
        """Add an initialiser; returns its name."""
        name = self.new_name(hint)
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def add(self, op: str, inputs: Sequence[str], *, hint: str, **attributes: Any) -> str:
        """Append a node with one output; returns the output's name."""
        name = self.new_name(hint)
        self._graph.node.append(onnx.helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def new_name(self, hint: str) -> str:
        """An unused name, also if the graph is edited twice."""
        taken = self._names()
        return next(name for number in itertools.count(1) if (name := f"detector_{hint}_{number}") not in taken)

    def set_input_size(self, width: int, height: int) -> None:
        dims = self._graph.input[0].type.tensor_type.shape.dim
        for dim, side in zip(dims, (1, 3, height, width), strict=True):
            dim.dim_value = side

    def set_outputs(self, names: Sequence[str]) -> None:
        """Make the float tensors `names` the graph's outputs; `finish` removes what is no longer needed."""
        del self._graph.output[:]
        self._graph.output.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
        )

    def rename(self, old: str, new: str) -> None:
        """Rename a computed tensor everywhere."""
        for node in self.nodes:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    if name == old:
                        names[index] = new

    def replace_node(self, node: onnx.NodeProto, constants: Sequence[Array]) -> None:
        """Replace a node's outputs by constants."""
        for name, array in zip(node.output, constants, strict=True):
            self._graph.initializer.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        self._graph.node.remove(node)

    def shapes(self) -> dict[str, Shape]:
        """The tensors with fully known shapes, inferred for the graph in its current state."""
        bare = onnx.ModelProto()
        bare.ir_version = max(self.model.ir_version, 4)
        bare.opset_import.extend(self.model.opset_import)
        bare.graph.name = "bare"
        bare.graph.node.extend(self.nodes)
        bare.graph.input.extend(self._graph.input)
        bare.graph.output.extend(_open(output) for output in self._graph.output)
        for tensor in self._graph.initializer:  # weights take part by their shape alone: 100 times faster
            if math.prod(tensor.dims) <= _SMALL:
                bare.graph.initializer.append(tensor)
            else:
                info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
                bare.graph.input.append(info)
        try:
            inferred = shape_inference.infer_shapes(bare, data_prop=True).graph
        except (shape_inference.InferenceError, ValueError) as error:
            raise _contradiction(error) from None
        infos = [*inferred.value_info, *inferred.input, *inferred.output]
        found = {info.name: shape for info in infos if (shape := _static(info)) is not None}
        found.update({tensor.name: tuple(tensor.dims) for tensor in self._graph.initializer})
        return found

    def prune(self) -> None:
        """Remove the nodes and initialisers that no output depends on."""
        makers = {name: index for index, node in enumerate(self.nodes) for name in node.output}
        needed, alive, looking = set[str](), set[int](), list(self.outputs)
        while looking:
            name = looking.pop()
            needed.add(name)
            index = makers.get(name)
            if index is not None and index not in alive:
                alive.add(index)
                looking += self.nodes[index].input
        nodes = [node for index, node in enumerate(self.nodes) if index in alive]
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        weights = [tensor for tensor in self._graph.initializer if tensor.name in needed]
        del self._graph.initializer[:]
        self._graph.initializer.extend(weights)

    def finish(self) -> onnx.ModelProto:
        """The edited model: pruned, sorted, checked, with inferred shapes; raises ModelError."""
        self.prune()
        self._sort()
        for output in self._graph.output:
            output.CopyFrom(_open(output))
        self.model.ir_version = max(self.model.ir_version, 4)
        try:
            inferred = shape_inference.infer_shapes(self.model, check_type=True, strict_mode=True, data_prop=True)
            onnx.checker.check_model(inferred, full_check=True)
        except (shape_inference.InferenceError, onnx.checker.ValidationError, ValueError) as error:
            raise _contradiction(error) from None
        return inferred

    def _attributes(self) -> list[onnx.AttributeProto]:
        return [item for node in self.nodes for item in node.attribute]

    def _lift_constants(self) -> None:
        for node in [node for node in self.nodes if node.op_type == "Constant"]:
            value = onnx.helper.get_attribute_value(node.attribute[0])
            if node.attribute[0].name not in ("value", "value_int", "value_float", "value_ints", "value_floats"):
                continue
            array = numpy_helper.to_array(value) if node.attribute[0].name == "value" else np.array(value)
            if array.dtype == np.float64 and node.attribute[0].name != "value":
                array = array.astype(np.float32)
            self.replace_node(node, [array])
        stored = {tensor.name for tensor in self._graph.initializer}
        kept = [item for item in self._graph.input if item.name not in stored]  # old exporters list weights as inputs
        del self._graph.input[:]
        self._graph.input.extend(kept)

    def _names(self) -> set[str]:
        made = {name for node in self.nodes for name in (*node.output, node.name)}
        return made | set(self.constants())

    def _sort(self) -> None:
        """Nodes in topological order, otherwise in their old order."""
        ready = {self.input, "", *self.constants()}
        waiting, ordered = list(self.nodes), []
        while waiting:
            able = [node for node in waiting if ready.issuperset(node.input)]
            if not able:
                raise ModelError("this model's graph runs in a circle")
            ordered += able
            ready.update(name for node in able for name in node.output)
            waiting = [node for node in waiting if not ready.issuperset(node.output)]
        del self._graph.node[:]
        self._graph.node.extend(ordered)


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    found = next((item for item in node.attribute if item.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)


def _contradiction(error: Exception) -> ModelError:
    return ModelError(f"this model's graph cannot be changed so: {' '.join(str(error).split())[:160]}")


def _open(info: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """The output without its shape, which is inferred again since it may have changed."""
    return onnx.helper.make_tensor_value_info(info.name, info.type.tensor_type.elem_type, None)


def _static(info: onnx.ValueInfoProto) -> Shape | None:
    kind = info.type.tensor_type
    if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    return tuple(dim.dim_value for dim in kind.shape.dim)
