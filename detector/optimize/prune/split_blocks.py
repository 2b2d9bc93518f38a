"""Splits blocks that divide one convolution's output in two (ultralytics' C2f family) into two convolutions, for pruning.

Channels are removed by convolution; through a `chunk` no pruner can tell whose they are. The two halves give the very
same numbers, and joined again after pruning the block is ultralytics' own class: its checkpoint needs nothing of ours.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

_FAMILY = "C2f"  # and what derives from it: C3k2, C2fCIB


class SplitBlock(nn.Module):
    """A C2f whose first convolution is two: `first` for what is only handed on, `second` for what is worked on."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.first = _half(block.cv1, slice(None, block.c))
        self.second = _half(block.cv1, slice(block.c, None))
        self.m, self.cv2 = block.m, block.cv2
        self.f, self.i, self.type = block.f, block.i, block.type  # ultralytics' walk through the layers reads these
        self.original = [block]  # in a list, so that it is no submodule

    def forward(self, x: Any) -> Any:
        """As C2f's own: both halves and each inner block's output, side by side."""
        parts = [self.first(x), self.second(x)]
        for inner in self.m:
            parts.append(inner(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


def split(model: Any) -> list[SplitBlock]:
    """Replaces every C2f among the layers of `model`, in place; returns what it put there."""
    made = []
    for index, layer in enumerate(model.model):
        if any(base.__name__ == _FAMILY for base in type(layer).__mro__):
            model.model[index] = SplitBlock(layer)
            made.append(model.model[index])
    return made


def join(model: Any) -> None:
    """Puts ultralytics' blocks back, in place; raises ValueError where two halves are of different widths."""
    for index, layer in enumerate(model.model):
        if isinstance(layer, SplitBlock):
            model.model[index] = _joined(layer)


def _joined(layer: SplitBlock) -> Any:
    width = layer.first.conv.out_channels
    if layer.second.conv.out_channels != width:
        raise ValueError(f"halves of {width} and {layer.second.conv.out_channels} channels cannot be one convolution")
    block = layer.original[0]
    block.c, block.m, block.cv2 = width, layer.m, layer.cv2
    block.cv1 = _both(layer.first, layer.second)
    return block


def _half(conv: Any, part: slice) -> Any:
    """One Conv (convolution, batch norm, activation) of those output channels alone."""
    half = copy.deepcopy(conv)
    half.conv.weight = nn.Parameter(conv.conv.weight.detach()[part].clone())
    half.conv.out_channels = half.conv.weight.shape[0]
    _set_norm(half.bn, {name: value[part] if value.ndim else value for name, value in conv.bn.state_dict().items()})
    return half


def _both(first: Any, second: Any) -> Any:
    conv = copy.deepcopy(first)
    conv.conv.weight = nn.Parameter(torch.cat([first.conv.weight.detach(), second.conv.weight.detach()]))
    conv.conv.out_channels = conv.conv.weight.shape[0]
    one, other = first.bn.state_dict(), second.bn.state_dict()
    _set_norm(conv.bn, {k: torch.cat([v, other[k]]) if v.ndim else v for k, v in one.items()})
    return conv


def _set_norm(norm: Any, state: dict[str, Any]) -> None:
    norm.num_features = len(state["running_mean"])
    norm.weight, norm.bias = (nn.Parameter(state[name].clone()) for name in ("weight", "bias"))
    norm.running_mean, norm.running_var = state["running_mean"].clone(), state["running_var"].clone()
