"""The distillation loss: nothing to learn from oneself, and the numbers of its formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytestmark = pytest.mark.optimize


def answers(torch: Any, *, seed: int = 0) -> Any:
    from detector.optimize.prune.network import RawOutputs

    random = torch.Generator().manual_seed(seed)
    made = [torch.randn(shape, generator=random) for shape in ((2, 32, 20), (2, 3, 20), (2, 6, 5, 4))]
    return RawOutputs(boxes=made[0], scores=made[1], features=(made[2],))


def test_who_equals_the_teacher_has_nothing_to_learn(torch: Any) -> None:
    from detector.optimize.prune.distill import loss_of, projections, target_of

    same = answers(torch)
    found = loss_of(same, target_of(same), projections([(same, same)]), person=0)
    assert found.classes == pytest.approx(0.0, abs=1e-6)
    assert found.boxes == pytest.approx(0.0, abs=1e-6)
    assert found.features < 1e-4, "least squares finds the identity"
    other = loss_of(answers(torch, seed=1), target_of(same), projections([(same, same)]), person=0)
    assert min(other.classes, other.boxes, other.features) > 0.01


def test_one_point_by_hand(torch: Any) -> None:
    from detector.optimize.prune.distill import DistillTarget, loss_of
    from detector.optimize.prune.network import RawOutputs

    flat = torch.zeros(1, 1, 1, 2)
    student = RawOutputs(boxes=torch.zeros(1, 8, 1), scores=torch.zeros(1, 2, 1), features=(flat,))
    edges = torch.tensor([0.9, 0.1]).repeat(4, 1).reshape(1, 4, 2, 1)
    target = DistillTarget(scores=torch.tensor([0.8, 0.3]).reshape(1, 2, 1), edges=edges, features=(flat,))
    found = loss_of(student, target, torch.nn.ModuleList([torch.nn.Identity()]), person=0)
    # Quality focal loss at logit 0: |0.5 - t|^2 * ln 2; the person whole, the other class a tenth; mass at least 1.
    assert found.classes == pytest.approx((0.3**2 + 0.1 * 0.2**2) * math.log(2), rel=1e-5)
    apart = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert found.boxes == pytest.approx(0.8 * apart, rel=1e-5)


def test_background_teaches_no_boxes(torch: Any) -> None:
    from detector.optimize.prune.distill import DistillTarget, loss_of, projections, target_of

    student, teacher = answers(torch, seed=1), answers(torch)
    target = target_of(teacher)
    empty = DistillTarget(scores=torch.zeros_like(target.scores), edges=target.edges, features=target.features)
    assert loss_of(student, empty, projections([(student, teacher)]), person=0).boxes == 0.0
