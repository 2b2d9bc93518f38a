"""Overlap of boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.core.geometry import areas, iou


def test_iou_of_known_boxes() -> None:
    left = np.array([[0.0, 0.0, 10.0, 10.0], [5.0, 5.0, 5.0, 5.0]])
    right = np.array([[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 15.0, 10.0], [20.0, 0.0, 30.0, 10.0], [5.0, 5.0, 5.0, 5.0]])
    assert iou(left, right) == pytest.approx(np.array([[1.0, 1 / 3, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    assert iou(left[:0], right).shape == (0, 4)
    assert iou(left, right[:0]).shape == (2, 0)


def test_float32_boxes_are_computed_in_float64() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 5, 5]], np.float32)
    assert iou(boxes[:1], boxes) == pytest.approx(np.array([[1.0, 1 / 7, 0.0]]))
    assert iou(boxes[2:], boxes[2:]).tolist() == [[0.0]], "a box without area is no match, not NaN"
    assert iou(boxes, boxes).dtype == np.float64
    assert areas(boxes).tolist() == [4.0, 4.0, 0.0]


@given(st.integers(0, 2**16))
def test_it_is_symmetric_and_within_0_and_1(seed: int) -> None:
    corners = np.random.default_rng(seed).random((7, 2, 2)) * 100
    boxes = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
    found = iou(boxes[:3], boxes[3:])
    assert ((found >= 0.0) & (found <= 1.0)).all()
    assert found == pytest.approx(iou(boxes[3:], boxes[:3]).T)
