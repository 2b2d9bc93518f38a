from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.core.types import Floats
from detector.inference.nms import best_first, nms


def overlap(a: Floats, b: Floats) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = float(width) * float(height)
    return common / (float(a[2] - a[0]) * float(a[3] - a[1]) + float(b[2] - b[0]) * float(b[3] - b[1]) - common)


def naive(boxes: Floats, scores: Floats, iou: float, limit: int) -> list[int]:
    kept: list[int] = []
    for index in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if all(overlap(boxes[index], boxes[other]) <= iou for other in kept):
            kept.append(index)
    return kept[:limit]


def crowd(seed: int, count: int, people: int) -> tuple[Floats, Floats]:
    """`count` jittered boxes around `people` places: what a dense head gives."""
    rng = np.random.default_rng(seed)
    places = np.concatenate((rng.uniform(0, 600, (people, 2)), rng.uniform(20, 200, (people, 2))), axis=1)
    boxes = places[rng.integers(0, people, count)] + rng.normal(0, 6, (count, 4))
    boxes[:, 2:] = boxes[:, :2] + np.maximum(boxes[:, 2:], 1)
    return boxes.astype(np.float32), rng.uniform(0, 1, count).astype(np.float32)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 120),
    st.integers(1, 12),
    st.sampled_from([0.3, 0.5, 0.65, 0.7]),
    st.integers(1, 40),
)
def test_equals_the_naive_one(seed: int, count: int, people: int, iou: float, limit: int) -> None:
    boxes, scores = crowd(seed, count, people)
    assert nms(boxes, scores, iou=iou, limit=limit).tolist() == naive(boxes, scores, iou, limit)


def test_hundreds_of_boxes_equal_the_naive_ones() -> None:
    boxes, scores = crowd(3, 800, 40)
    assert nms(boxes, scores, iou=0.65).tolist() == naive(boxes, scores, 0.65, 300)


def test_equal_boxes_leave_the_first() -> None:
    boxes = np.tile(np.array([[10, 10, 50, 90]], np.float32), (5, 1))
    assert nms(boxes, np.full(5, 0.5, np.float32), iou=0.65).tolist() == [0]


def test_scores_of_zero_stay() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    assert nms(boxes, np.zeros(2, np.float32), iou=0.65).tolist() == [0, 1]


def test_nothing_in_nothing_out() -> None:
    kept = nms(np.empty((0, 4), np.float32), np.empty(0, np.float32), iou=0.65)
    assert kept.shape == (0,)
    assert kept.dtype == np.intp


@pytest.mark.parametrize("box", [[5, 5, 5, 5], [9, 9, 3, 3]], ids=["point", "inside out"])
def test_boxes_without_area_suppress_nobody(box: list[float]) -> None:
    boxes = np.array([box, [0, 0, 10, 10]], np.float32)
    assert nms(boxes, np.array([0.9, 0.8], np.float32), iou=0.5).tolist() == [0, 1]


def test_boxes_are_left_as_they_were() -> None:
    boxes, scores = crowd(1, 50, 4)
    before = boxes.copy(), scores.copy()
    nms(boxes, scores, iou=0.65)
    np.testing.assert_array_equal(boxes, before[0])
    np.testing.assert_array_equal(scores, before[1])


def test_best_first_keeps_the_order_of_equals() -> None:
    scores = np.array([0.2, 0.9, 0.2, 0.5], np.float32)
    assert best_first(scores).tolist() == [1, 3, 0, 2]
    assert best_first(scores, 2).tolist() == [1, 3]
