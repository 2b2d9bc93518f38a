"""Scores the channels of a network by how much its outputs would change without each.

Each channel gets a gate of 1 behind its batch norm. Taking the channel away moves gate 1 to 0, so to first order an
output o changes by the gate's gradient, and the squared change summed over outputs is what counts: Molchanov et al.,
"Importance Estimation for Neural Network Pruning" (CVPR 2019), eq. 8. The sum over outputs is estimated with random
signs (Hutchinson): E[(d(sum s_i o_i)/d gate)^2] = sum (d o_i/d gate)^2 for independent s_i = +-1. The gate's gradient
is weight * d/dweight + bias * d/dbias of its batch norm: no gate is ever made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from detector.inference.layout import person_of

from .network import RawOutputs, raw

_BACKGROUND = 0.02  # of a sure person's weight: a false alarm in the background is a change too
Scores = dict[Any, Any]
"""Batch norm to float32 [channels], all >= 0."""


def sensitivity(model: Any, pictures: Sequence[Any], *, seed: int = 0) -> Scores:
    """Expected squared change of the person outputs by channel, over `pictures` (float32 [1,3,H,W] each)."""
    person, random = person_of(model.names), torch.Generator().manual_seed(seed)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    affine = [parameter for norm in norms for parameter in (norm.weight, norm.bias)]
    scores: Scores = {norm: torch.zeros(norm.num_features) for norm in norms}
    for picture in pictures:
        with torch.enable_grad():
            total = _signed_sum(raw(model, picture), person, random)
            found = torch.autograd.grad(total, affine, allow_unused=True)
        for norm, by_weight, by_bias in zip(norms, found[::2], found[1::2], strict=True):
            if by_weight is not None:
                scores[norm] += (norm.weight.detach() * by_weight + norm.bias.detach() * by_bias) ** 2
    return scores


def magnitude(model: Any) -> Scores:
    """Without pictures: each channel's squared weights, as shares of its layer's (Li et al., 2017, by L2)."""
    scores: Scores = {}
    for module in model.modules():
        convolution, norm = getattr(module, "conv", None), getattr(module, "bn", None)
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            scale = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
            power = (convolution.weight.detach().flatten(1) * scale[:, None]).square().sum(1)
            scores[norm] = power / power.sum().clamp_min(1e-12)
    return scores


def _signed_sum(found: RawOutputs, person: int, random: torch.Generator) -> Any:
    """The person logits and box distributions with random signs, weighted by the person's probability."""
    logits = found.scores[:, person]
    weight = torch.sigmoid(logits.detach()) + _BACKGROUND
    log_bins = torch.log_softmax(found.boxes.unflatten(1, (4, -1)), 2)
    spread = log_bins.detach().exp().sqrt()  # sum over bins of p (d log p)^2: Fisher's metric, the change in KL
    classes = (weight * logits * _signs(logits, random)).sum()
    boxes = (weight[:, None, None] * spread * log_bins * _signs(log_bins, random)).sum()
    return classes + boxes


def _signs(like: Any, random: torch.Generator) -> Any:
    return torch.randint(0, 2, like.shape, generator=random).float() * 2 - 1
