"""INT8 for CPUs: the form that measured best, calibrated on pictures from where the camera looks."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import version_converter

from detector.errors import ModelError
from detector.inference.layout import default_spec
from detector.inference.preprocess import Letterbox
from detector.inference.spec import InputSpec
from detector.types import Floats, Image

from .edit import PRECISION_STEP, layout_of, stepped
from .graph import Graph

MIN_PICTURES = 16
"""Fewer do not show the range that a layer's numbers take."""

_PER_CHANNEL_OPSET = 13
_ACTIVATIONS = {"Sigmoid", "Mul", "Relu", "LeakyRelu", "HardSwish", "HardSigmoid", "Clip"}
_DFL = (1, 16, 1, 1)  # weights of the convolution that turns a distribution into a distance


def quantize_cpu(
    path: Path, pictures: Sequence[Image], *, output: Path, spec: InputSpec | None = None, float_layers: int = 1
) -> None:
    """Writes the fp32 model at `path` as INT8 to `output`: unsigned activations, signed weights by channel.

    All operators but the decoding and the last `float_layers` convolutions before it, whose results are exponents
    and distances; more of them cost time and may win precision back. What INT8 takes differs by model, from next
    to nothing to two thirds of it (YOLOX-nano): measure it on pictures that are not among `pictures`. At least 16
    different ones; ranges are their smallest and largest numbers.
    `spec` None: as the layout is commonly trained. Raises ModelError.
    """
    if float_layers < 0:
        raise ValueError("float_layers must not be negative")
    model = onnx.load(str(path))
    layout = layout_of(model)
    _refuse_poor(pictures)
    tensors = _Tensors(pictures, Letterbox(width=layout.width, height=layout.height, spec=spec or default_spec(layout)))
    graph = Graph(_recent(model))
    tensors.name = graph.input
    skipped = _in_floats(graph, float_layers)
    _quantise(graph.finish(), tensors, output, skipped)
    made = onnx.load(str(output))
    onnx.save(stepped(made, model, PRECISION_STEP), str(output))


def _recent(model: onnx.ModelProto) -> onnx.ModelProto:
    """Scales by channel need operator set 13."""
    if Graph(model).opset >= _PER_CHANNEL_OPSET:
        return model
    try:
        found: onnx.ModelProto = version_converter.convert_version(model, _PER_CHANNEL_OPSET)
    except (RuntimeError, version_converter.ConvertError) as error:
        raise ModelError(f"this model cannot be made int8: {' '.join(str(error).split())[:160]}") from None
    return found


def _refuse_poor(pictures: Sequence[Image]) -> None:
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


class _Tensors:
    """Pictures as the calibration of onnxruntime reads them: one input after another, None at the end."""

    name = ""

    def __init__(self, pictures: Sequence[Image], letterbox: Letterbox) -> None:
        self._pictures, self._letterbox = pictures, letterbox
        self.rewind()

    def get_next(self) -> dict[str, Floats] | None:
        picture = next(self._left, None)
        return None if picture is None else {self.name: self._letterbox(picture)[0].copy()}

    def rewind(self) -> None:
        self._left: Iterator[Image] = iter(self._pictures)


def _in_floats(graph: Graph, layers: int) -> list[str]:
    """The nodes from the activations before the last `layers` convolutions to the outputs; all nodes get names."""
    for number, node in enumerate(graph.nodes):
        node.name = node.name or f"{node.op_type}_{number}"
    found: dict[str, int] = {}  # how many convolutions lie between the node and the outputs
    looking = [(name, 0) for name in graph.outputs]
    while looking:
        name, passed = looking.pop()
        maker = graph.producer(name)
        if maker is None or found.get(maker.name, layers + 1) <= passed:
            continue
        learned = _learned(graph, maker)
        if (learned and passed >= layers) or (passed and not learned and maker.op_type not in _ACTIVATIONS):
            continue
        found[maker.name] = passed
        looking += [(source, passed + learned) for source in maker.input]
    return sorted(found)


def _learned(graph: Graph, node: onnx.NodeProto) -> bool:
    weights = graph.constant(node.input[1]) if node.op_type == "Conv" else None
    return weights is not None and weights.shape != _DFL


def _quantise(model: onnx.ModelProto, tensors: _Tensors, output: Path, skipped: list[str]) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with _quiet():
        try:
            quantize_static(
                model,
                str(output),
                tensors,
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=skipped,
            )
        except Exception as error:  # onnxruntime has no base of its own
            raise ModelError(f"this model cannot be made int8: {' '.join(str(error).split())[:160]}") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Onnxruntime warns on the root logger that it would rather have prepared the model itself."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
