"""What pruning asks of an ultralytics detection network: the head that is deployed, its raw outputs, its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from detector.core.errors import ModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class RawOutputs:
    """A batch's outputs before decoding, per anchor point: box distributions [B,4*bins,N], class logits [B,C,N].

    `features` are the maps that the head reads, [B,c,h,w] each.
    """

    boxes: Any
    scores: Any
    features: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Multiply-accumulates of the convolutions for one picture, and parameters."""

    macs: int
    parameters: int


def keep_deployed(model: Any) -> None:
    """Takes the head that only training uses out of a model with two (YOLOv10), in place.

    The NMS-free head stays, as in an exported model: nothing is then pruned or tuned for a head that never runs.
    Raises ModelError for a network without ultralytics' anchor-free head.
    """
    head = model.model[-1]
    if not all(hasattr(head, name) for name in ("forward_head", "dfl", "cv2", "cv3", "reg_max")):
        raise ModelError(f"this network ends in {type(head).__name__}: pruning knows YOLOv8, YOLOv10 and YOLO11 heads")
    if getattr(head, "one2one_cv2", None) is not None and head.cv2 is not None:
        head.end2end = True  # older checkpoints carry no such flag
        head.fuse()


def raw(model: Any, pictures: Any) -> RawOutputs:
    """Runs `model` (in eval mode) on float32 [B,3,H,W] RGB 0..1, differentiably."""
    _, found = model(pictures)
    found = found.get("one2one") or found.get("one2many") or found
    return RawOutputs(boxes=found["boxes"], scores=found["scores"], features=tuple(found["feats"]))


def output_layers(model: Any) -> list[Any]:
    """The convolutions whose channels are the model's answers: they keep their width."""
    head = model.model[-1]
    names = ("one2one_cv2", "one2one_cv3") if head.cv2 is None else ("cv2", "cv3")
    return [branch[-1] for name in names for branch in getattr(head, name)]


def positions(model: Any, width: int, height: int) -> dict[Any, int]:
    """For each convolution, how many places of its output a picture of that size (px) makes it compute."""
    found: dict[Any, int] = {}

    def count(module: Any, _inputs: object, output: Any) -> None:
        found[module] = found.get(module, 0) + output.shape[-2] * output.shape[-1]

    hooks = [module.register_forward_hook(count) for module in _convolutions(model)]
    try:
        with torch.no_grad():
            model(torch.zeros(1, 3, height, width))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def macs_of(convolution: Any, places: Mapping[Any, int]) -> int:
    """Multiply-accumulates of one convolution: places times weights. What makes no output costs none."""
    return int(places.get(convolution, 0) * convolution.weight.numel())


def size_of(model: Any, places: Mapping[Any, int]) -> Size:
    """Of convolutions alone: they are more than 98 % of these networks' work. `places` from `positions`."""
    return Size(
        macs=sum(macs_of(module, places) for module in _convolutions(model)),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )


def _convolutions(model: Any) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]
