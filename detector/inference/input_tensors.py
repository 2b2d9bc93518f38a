"""A model's inputs: the picture, and the small ones beside it whose values follow from the picture's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.core.errors import ModelError

from .tensors import TensorSpec

_SIZE_NAMES = ("orig_target_sizes", "im_shape", "scale_factor", "pixel_mask")
"""RT-DETR's and D-FINE's own export; PaddleDetection's; transformers' DETR."""


def split_inputs(inputs: Sequence[TensorSpec]) -> tuple[TensorSpec, tuple[TensorSpec, ...]]:
    """The picture's input and the known others; raises ModelError where there is no such pair."""
    pictures = [spec for spec in inputs if len(spec.shape) == 4]
    others = tuple(spec for spec in inputs if spec not in pictures)
    if len(pictures) != 1 or any(spec.name not in _SIZE_NAMES for spec in others):
        found = shown(inputs)
        raise ModelError(f"not a picture model: its inputs are {found}, needed is one of [1, 3, height, width]")
    return pictures[0], others


def picture_first(inputs: Sequence[TensorSpec]) -> TensorSpec:
    """The input that takes the picture, as well as can be told; never raises."""
    four = [spec for spec in inputs if len(spec.shape) == 4]
    return (four or list(inputs) or [TensorSpec("none", (), "float32")])[0]


def size_values(spec: TensorSpec, width: int, height: int) -> NDArray[Any]:
    """What the input `spec` of one picture gets, so that boxes come out in px of the model's input."""
    if spec.name == "orig_target_sizes":  # width, then height: RT-DETR's export_onnx.py
        values = np.array([[width, height]], np.float64)
    elif spec.name == "im_shape":
        values = np.array([[height, width]], np.float64)
    elif spec.name == "scale_factor":
        values = np.ones((1, 2), np.float64)
    else:  # a mask of the real pixels: all of them
        values = np.ones((1, *(side or full for side, full in zip(spec.shape[1:], (height, width), strict=True))))
    return values.astype(spec.dtype)


def size_inputs(inputs: Sequence[TensorSpec], tensor: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
    """The values of every input beside the picture `tensor`, by name."""
    picture = picture_first(inputs)
    others = [spec for spec in inputs if spec is not picture and spec.name in _SIZE_NAMES]
    if not others:
        return {}
    height, width = tensor.shape[1:3] if tensor.dtype == np.uint8 else tensor.shape[2:4]
    return {spec.name: size_values(spec, width, height) for spec in others}


def shown(specs: Sequence[TensorSpec]) -> str:
    """Inputs or outputs in one line."""
    return ", ".join(str(spec) for spec in specs) or "none"
