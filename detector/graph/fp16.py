"""Half precision: inputs, outputs and decoding stay fp32, and so does whatever would overflow on real pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from detector.core.types import Image
from detector.inference.spec import InputSpec
from detector.models.engines.prepare import to_fp16

from .edit import is_dynamic, layout_of, stepped
from .freeze import freeze
from .graph import Graph
from .layers import decoding, name_nodes
from .quantize import floats_of, tensors
from .ranges import measure

STEP = "fp16"
_LIMIT = float(np.finfo(np.float16).max) / 2  # pictures that nobody has seen yet may go further


def half(
    model: onnx.ModelProto, pictures: Sequence[Image], *, name: str, spec: InputSpec | None = None
) -> tuple[onnx.ModelProto, list[str]]:
    """The fp32 `model` in half precision, and the nodes that were kept in fp32 because their numbers grow too large.

    What is large is measured on `pictures`; without any it is not known, and nothing is kept for it. Raises ModelError.
    """
    layout = layout_of(model)
    graph = Graph(model)
    if is_dynamic(model):
        freeze(graph, layout.width, layout.height)
    name_nodes(graph)
    plain = graph.finish()
    large = _large(plain, pictures, spec) if pictures else []
    cast = to_fp16(_copy(plain), name, floats=large)
    return stepped(Graph(cast).finish(), model, STEP), large  # the converter adds nodes out of order


def _large(model: onnx.ModelProto, pictures: Sequence[Image], spec: InputSpec | None) -> list[str]:
    """The nodes before decoding that read or give numbers near half precision's end."""
    graph = Graph(model)
    late, known = decoding(graph, 0), floats_of(model)
    early = [node for node in graph.nodes if node.name not in late]
    names = {name for node in early for name in (*node.input, *node.output) if name in known}
    ranges = measure(model, sorted(names), lambda: tensors(pictures, layout_of(model), spec))
    large = {name for name, (low, high) in ranges.items() if max(-low, high) > _LIMIT}
    return [node.name for node in early if large & {*node.input, *node.output}]


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made
