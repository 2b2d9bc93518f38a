"""The loss of YOLOX's raw grid of persons against marked boxes (arXiv 2107.08430).

Each box is given to the cells that predict it best (SimOTA: the cost is -log score - 3 log IoU; the number of cells is
the sum of the ten best IoU). Boxes count by 1 - IoU^2, five times; objectness and class by binary cross entropy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

STRIDES = (8, 16, 32)
_NEAR = 2.5  # strides from a box's middle
_BEST = 10
_BOXES = 5.0
_FAR = 1e5
_TINY = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class GridTarget:
    """Of one picture, px of the input: `persons` [M,4] x1,y1,x2,y2, and `unsure` [K,4], where nothing is taught."""

    persons: Any
    unsure: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class GridCells:
    """Each cell's column and row [N,2], and its stride px [N,1]."""

    places: Any
    strides: Any

    @classmethod
    def of(cls, width: int, height: int) -> GridCells:
        places, strides = [], []
        for stride in STRIDES:
            y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
            places.append(torch.stack([x, y], -1).reshape(-1, 2).float())
            strides.append(torch.full((places[-1].shape[0], 1), float(stride)))
        return cls(places=torch.cat(places), strides=torch.cat(strides))

    def boxes(self, rows: Any) -> Any:
        """Boxes [..., N, 4] px of raw rows [..., N, 6]."""
        middle = (rows[..., :2] + self.places) * self.strides
        half = rows[..., 2:4].clamp(max=8.0).exp() * self.strides / 2
        return torch.cat([middle - half, middle + half], -1)


def grid_loss(rows: Any, targets: list[GridTarget], cells: GridCells) -> Any:
    """The mean loss of rows [B,N,6] (dx, dy, log w, log h, objectness, person) by the number of cells with a person."""
    total, owners = rows.new_zeros(()), 0
    for picture, target in zip(rows, targets, strict=True):
        loss, count = _picture_loss(picture, target, cells)
        total, owners = total + loss, owners + count
    return total / max(1, owners)


def _picture_loss(rows: Any, target: GridTarget, cells: GridCells) -> tuple[Any, int]:
    boxes = cells.boxes(rows)
    centres = (cells.places + 0.5) * cells.strides
    wanted = torch.zeros(len(rows))
    counts = torch.ones(len(rows))
    if len(target.unsure):
        counts[_inside(centres, target.unsure).any(1)] = 0.0
    loss = rows.new_zeros(())
    own, of = _owners(rows.detach(), boxes.detach(), centres, target.persons, cells)
    if len(own):
        overlap = _iou_pairs(boxes[own], target.persons[of])
        loss = _BOXES * (1.0 - overlap.square()).sum()
        classes = rows[own, 5].clamp(_TINY, 1.0 - _TINY)
        loss = loss + functional.binary_cross_entropy(classes, overlap.detach().clamp(0.0, 1.0), reduction="sum")
        wanted[own], counts[own] = 1.0, 1.0
    objects = rows[:, 4].clamp(_TINY, 1.0 - _TINY)
    return loss + functional.binary_cross_entropy(objects, wanted, weight=counts, reduction="sum"), len(own)


def _owners(rows: Any, boxes: Any, centres: Any, persons: Any, cells: GridCells) -> tuple[Any, Any]:
    """The cells that own a person, and which; a cell owns one at most."""
    none = torch.zeros(0, dtype=torch.long)
    if not len(persons):
        return none, none
    middle = (persons[:, :2] + persons[:, 2:]) / 2
    near = ((centres[:, None] - middle).abs() < _NEAR * cells.strides[:, None]).all(2)
    inside = _inside(centres, persons)
    able = (near | inside).any(1).nonzero()[:, 0]
    if not len(able):
        return none, none
    overlap = iou_table(boxes[able], persons)
    score = (rows[able, 4] * rows[able, 5]).clamp_min(1e-9).sqrt()
    cost = -score.log()[:, None] - 3.0 * overlap.clamp_min(1e-8).log() + _FAR * ~(near & inside)[able]
    chosen = torch.zeros_like(cost, dtype=torch.bool)
    best = overlap.topk(min(_BEST, len(able)), dim=0).values.sum(0).int().clamp_min(1)
    for number, count in enumerate(best.tolist()):
        chosen[cost[:, number].topk(min(count, len(able)), largest=False).indices, number] = True
    owning = chosen.any(1)
    return able[owning], torch.where(chosen, cost, torch.inf)[owning].argmin(1)


def _inside(points: Any, boxes: Any) -> Any:
    """Whether each point [N,2] lies in each box [M,4]: [N,M]."""
    return ((points[:, None] > boxes[:, :2]) & (points[:, None] < boxes[:, 2:])).all(2)


def iou_table(one: Any, other: Any) -> Any:
    """Of each box [N,4] with each [M,4]: [N,M]."""
    low, high = torch.maximum(one[:, None, :2], other[:, :2]), torch.minimum(one[:, None, 2:], other[:, 2:])
    both = (high - low).clamp_min(0.0).prod(2)
    areas = [(each[:, 2:] - each[:, :2]).clamp_min(0.0).prod(1) for each in (one, other)]
    return both / (areas[0][:, None] + areas[1] - both).clamp_min(_TINY)


def _iou_pairs(one: Any, other: Any) -> Any:
    low, high = torch.maximum(one[:, :2], other[:, :2]), torch.minimum(one[:, 2:], other[:, 2:])
    both = (high - low).clamp_min(0.0).prod(1)
    areas = [(each[:, 2:] - each[:, :2]).clamp_min(0.0).prod(1) for each in (one, other)]
    return both / (areas[0] + areas[1] - both).clamp_min(_TINY)
