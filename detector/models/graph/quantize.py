"""INT8 with calibration: ranges are measured once, then any number of variants can be written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import version_converter

from detector.core.errors import ModelError
from detector.core.types import Floats, Image
from detector.inference.backends.onnx_metadata import INT8_FOR
from detector.inference.layout import Layout, default_spec
from detector.inference.preprocess import Letterbox
from detector.inference.spec import InputSpec

from . import qdq
from .calibration import Method, Progress, Range, measure
from .edit import PRECISION_STEP, is_dynamic, layout_of, stepped
from .freeze import freeze
from .graph import Graph
from .layers import decoding, find_layers, name_nodes
from .silu import fuse

if TYPE_CHECKING:
    from .layers import Layer

MIN_PICTURES = 16
"""Fewer do not show the range that a layer's numbers take."""

_PER_CHANNEL_OPSET = 13


def quantize_cpu(
    path: Path,
    pictures: Sequence[Image],
    *,
    output: Path,
    spec: InputSpec | None = None,
    float_layers: int = 1,
    method: Method = "min-max",
) -> None:
    """Write the fp32 model at `path` as INT8 to `output`: unsigned activations, signed weights per channel.

    All operators are quantised, except the decoding and the last `float_layers` convolutions before it, whose results
    are exponents and distances; more of these cost time and may restore accuracy. The loss of average precision depends
    on the model, from almost none to two thirds (YOLOX-nano): measure it on other pictures than `pictures`, which must
    be at least 16 different ones. `spec` None: as the layout is commonly trained. Raises ModelError.
    """
    _written(path, pictures, output, spec, float_layers, method, qdq.ONNXRUNTIME)


def quantize_openvino(
    path: Path,
    pictures: Sequence[Image],
    *,
    output: Path,
    spec: InputSpec | None = None,
    float_layers: int = 1,
    method: Method = "min-max",
) -> None:
    """Like `quantise` with pairs placed for OpenVINO: only before convolutions, so that it fuses the rest.

    ONNX Runtime runs it too, but slower than fp32, since it needs a pair after each operator. Raises ModelError.
    """
    _written(path, pictures, output, spec, float_layers, method, qdq.OPENVINO)


def quantize_tensorrt(
    path: Path,
    pictures: Sequence[Image],
    *,
    output: Path,
    spec: InputSpec | None = None,
    float_layers: int = 1,
    method: Method = "min-max",
) -> None:
    """Like `quantise` with explicit pairs for TensorRT: only convolutions, signed and symmetric, biases in float.

    Each convolution has its own pair before it, so that TensorRT may fuse freely. Raises ModelError.
    """
    _written(path, pictures, output, spec, float_layers, method, qdq.TENSORRT)


def _written(
    path: Path,
    pictures: Sequence[Image],
    output: Path,
    spec: InputSpec | None,
    float_layers: int,
    method: Method,
    form: qdq.QdqStyle,
) -> None:
    if float_layers < 0:
        raise ValueError("float_layers must not be negative")
    calibrated = Calibrated.of(onnx.load(str(path)), pictures, spec=spec, method=method, signed=form.signed)
    onnx.save(calibrated.quantised(form, calibrated.decoding(float_layers)), str(output))


class Calibrated:
    """A model with the ranges of its tensors, from which variants are made without running pictures again."""

    def __init__(self, source: onnx.ModelProto, model: onnx.ModelProto, ranges: dict[str, Range]) -> None:
        self._source, self.model, self.ranges = source, model, ranges
        graph = Graph(model)
        self.layers: list[Layer] = find_layers(graph)
        self._nodes = {layer.name: layer.nodes for layer in self.layers}

    @classmethod
    def of(
        cls,
        source: onnx.ModelProto,
        pictures: Sequence[Image],
        *,
        spec: InputSpec | None = None,
        method: Method = "min-max",
        signed: bool = False,
        progress: Progress = lambda _done, _total: None,
    ) -> Calibrated:
        """Measure the ranges over `pictures`; `signed` if the variants will be.

        Raises ModelError for too few pictures, and for models that cannot be quantised.
        """
        layout = layout_of(source)
        if layout.pixels:
            raise ModelError("this model has its preprocessing folded in: quantise the one without")
        refuse_poor(pictures)
        graph = Graph(_recent(source))
        if is_dynamic(source):  # ranges and shapes are those of one size
            freeze(graph, layout.width, layout.height)
        name_nodes(graph)
        model = graph.finish()
        graph = Graph(model)
        # Decoding is never quantised; behind an NMS tensors may be empty, too, which have no range.
        wanted = qdq.wanted_tensors(graph, decoding(graph, 0), qdq.ALL, floats_of(model))
        ranges = measure(
            model,
            wanted,
            lambda: tensors(pictures, layout, spec),
            method=method,
            levels=127 if signed else 255,
            progress=progress,
            count=len(pictures),
        )
        return cls(source, model, ranges)

    def decoding(self, float_layers: int) -> set[str]:
        """The nodes of the decoding and of the last `float_layers` convolutions before it."""
        return decoding(Graph(self.model), float_layers)

    def nodes(self, layer: str) -> frozenset[str]:
        """The nodes of the layer of that name."""
        return self._nodes[layer]

    def probe(self, form: qdq.QdqStyle, layer: str | None) -> onnx.ModelProto:
        """The model with only `layer` in INT8 (None: no layer). It runs, but is not checked as in `quantised`."""
        graph = Graph(self.model)
        if layer is None:
            return graph.model
        return qdq.quantised(graph, self.ranges, {node.name for node in graph.nodes} - self._nodes[layer], form)[0]

    def quantised(self, form: qdq.QdqStyle, floats: Collection[str]) -> onnx.ModelProto:
        """The model in INT8 except for the nodes in `floats`; raises ModelError if none is left to quantise."""
        model, convolutions = qdq.quantised(Graph(self.model), self.ranges, floats, form)
        if not convolutions:
            raise ModelError("this model has no convolution that could be made int8")
        model = Graph(model).finish()
        if not form.silu:
            fuse(model)
        return stepped(model, self._source, PRECISION_STEP, {INT8_FOR: form.name})


def _recent(model: onnx.ModelProto) -> onnx.ModelProto:
    """Scales by channel need operator set 13."""
    if Graph(model).opset >= _PER_CHANNEL_OPSET:
        return model
    try:
        found: onnx.ModelProto = version_converter.convert_version(model, _PER_CHANNEL_OPSET)
    except (RuntimeError, version_converter.ConvertError) as error:
        raise ModelError(f"this model cannot be made int8: {' '.join(str(error).split())[:160]}") from None
    return found


def refuse_poor(pictures: Sequence[Image]) -> None:
    """Raise ModelError for invalid pictures, and for fewer than MIN_PICTURES different ones."""
    seen = set()
    for number, picture in enumerate(pictures, start=1):
        pixels = picture.bgr()
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or pixels.size == 0:
            raise ModelError(f"calibration picture {number} of {len(pictures)} cannot be used: not a BGR picture")
        seen.add(hash((pixels.shape, pixels.tobytes())))
    if len(seen) < MIN_PICTURES:
        raise ModelError(
            f"{len(pictures)} calibration pictures, {len(seen)} of them different: at least {MIN_PICTURES} "
            "different ones are needed, best of the places that the cameras will see"
        )


def tensors(pictures: Sequence[Image], layout: Layout, spec: InputSpec | None) -> Iterator[Floats]:
    """The pictures as the model takes them, float32 [1,3,H,W]; each overwrites the one before."""
    letterbox = Letterbox(width=layout.width, height=layout.height, spec=spec or default_spec(layout))
    return (letterbox(picture)[0] for picture in pictures)


def floats_of(model: onnx.ModelProto) -> set[str]:
    """The computed tensors of float32."""
    infos = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    return {info.name for info in infos if info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
