"""How different two pictures are: noise is nothing, light is nothing, a small figure is something."""

from __future__ import annotations

import numpy as np

from detector.capture.image_diff import cells, difference
from support.scenes import room


def test_noise_and_light_are_nothing_and_a_figure_is_something() -> None:
    empty = cells(room(None, number=1))
    assert difference(empty, cells(room(None, number=2))) < 1.5
    brighter = np.clip(room(None, number=1).astype(np.int16) + 20, 0, 255).astype(np.uint8)
    assert difference(empty, cells(brighter)) < 1.5
    assert difference(empty, cells(room(100, number=1))) > 12.0
    assert difference(empty, empty) == 0.0
