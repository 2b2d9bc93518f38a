"""The distillation losses: the unpruned network's outputs, point by point, and its feature maps.

Answers (anchor point i, class c): class scores by the quality focal loss |q - t|^2 * BCE(q, t) towards the teacher's
probability t (Li et al., "Generalized Focal Loss", NeurIPS 2020, eq. 3, beta = 2); box edges by
KL(teacher || student) of their distributions, weighted by the person's probability, so that background teaches no
boxes (Zheng et al., "Localization Distillation", CVPR 2022, eq. 3, temperature 1). Feature maps: squared difference
after a learned 1x1 projection (Romero et al., "FitNets", ICLR 2015, eq. 3), in units of the teacher's variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .network import RawOutputs

_OTHERS = 0.1  # weight of the classes that are no persons: they keep the features general
_BOXES, _FEATURES = 1.0, 0.5
_RIDGE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillTarget:
    """What a batch should answer: probabilities [B,C,N], box distributions [B,4,bins,N], the teacher's maps."""

    scores: Any
    edges: Any
    features: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """`total` is differentiable; the parts are plain numbers."""

    total: Any
    classes: float
    boxes: float
    features: float


def target_of(teacher: RawOutputs) -> DistillTarget:
    """The teacher's raw outputs as targets."""
    return DistillTarget(
        scores=teacher.scores.sigmoid(),
        edges=teacher.boxes.unflatten(1, (4, -1)).softmax(2),
        features=teacher.features,
    )


def loss_of(student: RawOutputs, target: DistillTarget, projections: Any, *, person: int) -> Loss:
    """How far the student's raw outputs are from `target`; every part is a mean, by persons where persons count."""
    persons = target.scores[:, person]
    mass = persons.sum().clamp_min(1.0)
    plain = functional.binary_cross_entropy_with_logits(student.scores, target.scores, reduction="none")
    weights = torch.full((1, target.scores.shape[1], 1), _OTHERS)
    weights[:, person] = 1.0
    classes = ((student.scores.sigmoid() - target.scores).square() * plain * weights).sum() / mass
    log_edges = student.boxes.unflatten(1, (4, -1)).log_softmax(2)
    apart = functional.kl_div(log_edges, target.edges, reduction="none").sum(2).mean(1)
    boxes = (apart * persons).sum() / mass
    features = _features(student, target, projections)
    return Loss(
        total=classes + _BOXES * boxes + _FEATURES * features,
        classes=float(classes.detach()),
        boxes=float(boxes.detach()),
        features=float(features.detach()),
    )


def projections(pairs: Sequence[tuple[RawOutputs, RawOutputs]]) -> Any:
    """A 1x1 convolution for each feature map, student's to teacher's channels, fitted by least squares.

    `pairs` are both networks' outputs on the same pictures; many, or the fit holds for those few alone.
    """
    maps = range(len(pairs[0][0].features))
    return nn.ModuleList(_fitted([(one.features[i], other.features[i]) for one, other in pairs]) for i in maps)


def _features(student: RawOutputs, target: DistillTarget, learned: Any) -> Any:
    parts = [
        (project(one) - other).square().mean() / other.var().clamp_min(1e-6)
        for project, one, other in zip(learned, student.features, target.features, strict=True)
    ]
    return torch.stack(parts).mean()


def _fitted(pairs: Sequence[tuple[Any, Any]]) -> Any:
    """The layer that best makes the second map of each pair from the first, [B,c,h,w] each."""
    layer = nn.Conv2d(pairs[0][0].shape[1], pairs[0][1].shape[1], 1)
    wide = layer.in_channels + 1  # with a column of ones for the bias
    gram, right, rows = torch.zeros(wide, wide), torch.zeros(wide, layer.out_channels), 0
    for one, other in pairs:
        inputs, wanted = (each.detach().transpose(0, 1).flatten(1).T for each in (one, other))
        both = torch.cat([inputs, torch.ones(len(inputs), 1)], 1)
        gram, right, rows = gram + both.T @ both, right + both.T @ wanted, rows + len(inputs)
    # Ridge: two channels may be the same everywhere.
    solved = torch.linalg.solve(gram + _RIDGE * rows * torch.eye(wide), right)
    with torch.no_grad():
        layer.weight.copy_(solved[:-1].T[:, :, None, None])
        layer.bias.copy_(solved[-1])
    return layer
