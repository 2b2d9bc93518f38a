from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.small import SmallScene, _scenes, _wide_truth, measure
from detector.core.types import Box
from detector.inference.factory import load_detector


def test_the_wide_scene_shows_each_part_where_its_people_are_marked() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    box: Box = (10.0, 20.0, 30.0, 60.0)
    wide = _wide_truth({0: [(1, box)], 400: [(1, box)], 601: [(2, box)]}, picture)
    assert wide[0] == [(1, box), (2001, (10.0, 120.0, 30.0, 160.0))]
    assert wide[1] == [(3002, (210.0, 120.0, 230.0, 160.0))]


@pytest.mark.optimize
def test_closer_looks_find_more_far_people_and_nobody_false(shared: Path) -> None:
    detector = load_detector(path=shared / "models" / "yolox_tiny_humanart.onnx", name="tiny", threads=2)
    wide = next(scene for scene in _scenes(shared) if scene.name == "wide")
    without, closer = (measure(detector, wide, rate, 30) for rate in (0.0, 5.0))
    detector.close()
    assert (without.close_ups, without.frames, closer.frames) == (0, 30, 30)
    assert 5 <= closer.close_ups <= 18
    assert without.far_recall is not None
    assert closer.far_recall is not None
    assert without.far_precision is not None
    assert closer.far_precision is not None
    assert closer.far_recall > without.far_recall + 0.004
    assert closer.far_precision > without.far_precision - 0.01


def test_a_scene_without_marks_is_not_scored(model_file: Callable[[str], Path]) -> None:
    detector = load_detector(path=model_file("yolox_tiny_humanart"), name="tiny", threads=2)
    grey = SmallScene(name="grey", pictures=lambda: iter([np.full((720, 1280, 3), 90, np.uint8)] * 3))
    row = measure(detector, grey, 5.0, 10)
    detector.close()
    assert (row.frames, row.looked_at, row.close_ups, row.events, row.far_recall) == (3, 1, 0, 0, None)
