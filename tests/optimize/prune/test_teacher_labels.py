"""Corrected teachers: hand-made answers on a tiny grid, and what the annotations make of them."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.optimize
BINS = 8


def target(torch: Any, boxes: dict[int, tuple[float, list[float]]]) -> Any:
    """One picture of 64 x 64 px, stride 8: each point sure of nobody but those in `boxes` (score, edges in px)."""
    from detector.optimize.prune.distill import DistillTarget
    from detector.optimize.prune.teacher_labels import _two_bins

    scores, edges = torch.zeros(1, 2, 64), torch.full((1, 4, BINS, 64), 1.0 / BINS)
    for index, (score, corners) in boxes.items():
        point = torch.tensor([index % 8 + 0.5, index // 8 + 0.5]) * 8.0
        scores[0, 0, index] = score
        edges[0, :, :, index] = _two_bins(torch.tensor(corners), point, 8.0, BINS)
    return DistillTarget(scores=scores, edges=edges, features=(torch.zeros(1, 1, 8, 8),))


def corrected(torch: Any, given: Any, boxes: list[list[float]] | None) -> tuple[Any, Any]:
    from detector.optimize.prune.teacher_labels import _points, correct, decoded

    truth = None if boxes is None else torch.tensor(boxes).reshape(-1, 4)
    found = correct(given, [truth], person=0, strides=[8.0])
    return found.scores[0, 0], decoded(found.edges[0], *_points(given.features, [8.0]))


def test_a_picture_without_annotations_keeps_the_teachers_word(torch: Any) -> None:
    given = target(torch, {27: (0.9, [10.0, 10.0, 50.0, 60.0])})
    scores, _ = corrected(torch, given, None)
    assert torch.equal(scores, given.scores[0, 0])


def test_a_false_alarm_is_taken_back(torch: Any) -> None:
    given = target(torch, {27: (0.9, [10.0, 10.0, 50.0, 50.0]), 0: (0.05, [0.0, 0.0, 8.0, 8.0])})
    scores, _ = corrected(torch, given, [])
    assert float(scores[27]) == 0.0
    assert float(scores[0]) == pytest.approx(0.05), "a mere perhaps stays"
    assert float(given.scores[0, 0, 27]) == pytest.approx(0.9), "the given target is left as it was"


def test_a_box_is_moved_to_where_the_person_is(torch: Any) -> None:
    given = target(torch, {27: (0.6, [10.0, 10.0, 50.0, 50.0]), 28: (0.5, [14.0, 10.0, 50.0, 48.0])})
    scores, boxes = corrected(torch, given, [[8.0, 8.0, 50.0, 52.0]])
    overlap = 40 * 40 / (42 * 44)
    assert float(scores[27]) == pytest.approx(overlap, abs=1e-4)
    assert boxes[27].tolist() == pytest.approx([8.0, 8.0, 50.0, 52.0], abs=1e-3)
    assert float(scores[28]) == pytest.approx(0.5), "its neighbour keeps the teacher's word"


def test_a_person_that_the_teacher_missed_is_learned(torch: Any) -> None:
    scores, boxes = corrected(torch, target(torch, {}), [[20.0, 20.0, 44.0, 60.0]])
    best = int(scores.argmax())
    assert float(scores[best]) == 0.5
    assert int((scores > 0).sum()) == 1
    assert boxes[best].tolist() == pytest.approx([20.0, 20.0, 44.0, 60.0], abs=1e-3)
    point = ((best % 8 + 0.5) * 8, (best // 8 + 0.5) * 8)
    assert (point[0] - 32) ** 2 + (point[1] - 40) ** 2 <= 2 * 4.0**2, "the point next to the middle"


def test_two_persons_get_a_point_each(torch: Any) -> None:
    given = target(torch, {9: (0.7, [2.0, 2.0, 26.0, 26.0]), 45: (0.8, [30.0, 30.0, 62.0, 62.0])})
    scores, _ = corrected(torch, given, [[2.0, 2.0, 26.0, 26.0], [30.0, 30.0, 60.0, 62.0]])
    assert float(scores[9]) == pytest.approx(1.0, abs=1e-4)
    assert float(scores[45]) == pytest.approx(30 / 32, abs=1e-4)
