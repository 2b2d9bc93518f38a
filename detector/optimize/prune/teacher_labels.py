"""Corrects the unpruned network's outputs where a picture is annotated.

Each person is given to the one anchor point that YOLOv10 would (Wang et al., 2024, eq. 1: m = s * p^a * IoU^b with
a = 0.5, b = 6, s = 1 inside the box), judged by the teacher's own answers, so that the choice holds still. Its score
target is the IoU of the teacher's box, its edges the two bins around the true distance (Li et al., 2020, eq. 6).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from .distill import DistillTarget

_SURE = 0.1  # below it the teacher's "perhaps" does no harm
_ELSEWHERE = 0.3  # a sure box that overlaps no person more than this is a false alarm
_FLOOR = 0.5  # least score target of a person: one that the teacher missed must still be learned


def correct(target: DistillTarget, boxes: Sequence[Any], *, person: int, strides: Sequence[float]) -> DistillTarget:
    """`target` with the annotated pictures' answers put right.

    `boxes`, one entry a picture: float32 [M,4] x1,y1,x2,y2 in input px, or None where it is not annotated. `strides`
    px of the maps, finest first. The crowd of anchor points around a person keeps the teacher's word.
    """
    scores, edges = target.scores.clone(), target.edges.clone()
    points, stride = _points(target.features, strides)
    for index, truth in enumerate(boxes):
        if truth is not None:
            _correct_one(scores[index, person], edges[index], truth, points, stride)
    return dataclasses.replace(target, scores=scores, edges=edges)


def decoded(edges: Any, points: Any, stride: Any) -> Any:
    """Boxes float32 [N,4] px from edge distributions [4,bins,N] at `points` [N,2] px."""
    bins = torch.arange(edges.shape[1], dtype=torch.float32)
    sides = torch.einsum("kbn,b->nk", edges, bins) * stride[:, None]
    return torch.cat([points - sides[:, :2], points + sides[:, 2:]], 1)


def _correct_one(scores: Any, edges: Any, truth: Any, points: Any, stride: Any) -> None:
    found = decoded(edges, points, stride)
    overlap = _iou(found, truth)  # [N,M]
    stray = (scores > _SURE) & (
        overlap.amax(1) < _ELSEWHERE if len(truth) else torch.ones_like(scores, dtype=torch.bool)
    )
    scores[stray] = 0.0
    for number, box in enumerate(truth):
        best = _responsible(scores, overlap[:, number], box, points, stride)
        scores[best] = overlap[best, number].clamp_min(_FLOOR)
        edges[:, :, best] = _two_bins(box, points[best], stride[best], edges.shape[1])


def _responsible(scores: Any, overlap: Any, box: Any, points: Any, stride: Any) -> int:
    inside = ((points > box[:2]) & (points < box[2:])).all(1)
    metric = inside * scores.sqrt() * overlap**6
    if float(metric.max()) > 0.0:
        return int(metric.argmax())
    # The teacher saw nothing: the point nearest to the middle, of the map whose cells suit the person's size.
    suits = (stride * 8.0 / (box[2:] - box[:2]).prod().sqrt().clamp_min(1.0)).log().abs()
    middle = ((points - (box[:2] + box[2:]) / 2) / stride[:, None]).square().sum(1)
    return int((middle + 100.0 * suits).argmin())


def _two_bins(box: Any, point: Any, stride: Any, bins: int) -> Any:
    """Distributions [4,bins] whose mean is the distance to each edge."""
    away = torch.cat([point - box[:2], box[2:] - point]) / stride
    away = away.clamp(0.0, bins - 1.01)
    low = away.floor()
    made = torch.zeros(4, bins)
    sides = torch.arange(4)
    made[sides, low.long()] = 1.0 - (away - low)
    made[sides, low.long() + 1] = away - low
    return made


def _iou(one: Any, other: Any) -> Any:
    """Of each box [N,4] with each [M,4]: [N,M]."""
    low, high = torch.maximum(one[:, None, :2], other[:, :2]), torch.minimum(one[:, None, 2:], other[:, 2:])
    both = (high - low).clamp_min(0.0).prod(2)
    areas = [(each[:, 2:] - each[:, :2]).clamp_min(0.0).prod(1) for each in (one, other)]
    return both / (areas[0][:, None] + areas[1] - both).clamp_min(1e-9)


def _points(features: Sequence[Any], strides: Sequence[float]) -> tuple[Any, Any]:
    """Anchor points in px [N,2] (x, y), cell centres, and each one's stride [N]."""
    points, steps = [], []
    for feature, stride in zip(features, strides, strict=True):
        rows, columns = feature.shape[-2:]
        y, x = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
        points.append(torch.stack([x, y], 2).flatten(0, 1) * stride)
        steps.append(torch.full((rows * columns,), float(stride)))
    return torch.cat(points), torch.cat(steps)
