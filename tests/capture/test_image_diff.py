"""How different two pictures are: noise is nothing, light is nothing, a small figure is something."""

from __future__ import annotations

import numpy as np

from detector.capture.image_diff import grid, max_difference
from support.scenes import square_at


def test_noise_and_light_are_nothing_and_a_figure_is_something() -> None:
    empty = grid(square_at(None, number=1))
    assert max_difference(empty, grid(square_at(None, number=2))) < 1.5
    brighter = np.clip(square_at(None, number=1).astype(np.int16) + 20, 0, 255).astype(np.uint8)
    assert max_difference(empty, grid(brighter)) < 1.5
    assert max_difference(empty, grid(square_at(100, number=1))) > 12.0
    assert max_difference(empty, empty) == 0.0
