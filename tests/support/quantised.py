"""An INT8 model with explicit Q/DQ, as TensorRT wants it: symmetric, by channel, convolutions alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx

from detector.core.types import Floats, Image
from detector.inference.preprocess import Letterbox
from detector.inference.spec import InputSpec


class _Reader:
    """What the quantiser calibrates with."""

    def __init__(self, name: str, tensors: Iterator[Floats]) -> None:
        self._name, self._tensors = name, tensors

    def get_next(self) -> dict[str, Floats] | None:
        tensor = next(self._tensors, None)
        return None if tensor is None else {self._name: tensor}


def quantise(source: Path, target: Path, *, spec: InputSpec, size: tuple[int, int], images: Iterable[Image]) -> Path:
    """`source` with INT8 convolutions in `target`; the head's last convolutions and attention stay as they are."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    model = onnx.load(str(source))
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    named = target.with_suffix(".named.onnx")
    onnx.save(model, str(named))
    letterbox = Letterbox(width=size[0], height=size[1], spec=spec)
    reader = _Reader(model.graph.input[0].name, (letterbox(image)[0].copy() for image in images))
    CalibrationDataReader.register(_Reader)
    quantize_static(
        str(named),
        str(target),
        reader,
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["Conv"],
        nodes_to_exclude=_last_convolutions(model.graph),
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "DedicatedQDQPair": True,
            "AddQDQPairToWeight": True,
        },
    )
    return target


def _last_convolutions(graph: Any) -> list[str]:
    """Those behind which no other comes, and attention's: where INT8 costs the most accuracy."""
    feeds: set[str] = set()
    last = []
    for node in reversed(graph.node):
        if feeds & set(node.output):
            feeds.update(node.input)
            if node.op_type == "Conv" and "attn" in node.name:
                last.append(node.name)
        elif node.op_type == "Conv":
            last.append(node.name)
            feeds.update(node.input)
    return last
