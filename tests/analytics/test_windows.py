from __future__ import annotations

import numpy as np
import pytest

from detector.analytics.windows import BEST, MOST_ZOOM, Targets, best_window, zoom_for
from detector.inference.input_sizes import best_input_size

INPUT, PICTURE = (416, 256), (1280, 720)


def targets(*boxes: tuple[float, float, float, float], zooms: list[float]) -> Targets:
    return Targets(
        boxes=np.array(boxes), weights=np.ones(len(boxes)), zooms=np.array(zooms), known=np.zeros(len(boxes), np.bool_)
    )


@pytest.mark.parametrize(
    ("height", "zoom"), [(BEST, 1.0), (BEST / 2, 2.0), (1.0, MOST_ZOOM), (0.0, MOST_ZOOM), (200.0, 0.4)]
)
def test_a_person_is_enlarged_to_the_best_height_within_limits(height: float, zoom: float) -> None:
    assert zoom_for(height, least=0.4) == pytest.approx(zoom)


def test_a_window_has_the_inputs_aspect_and_the_targets_enlargement() -> None:
    (x1, y1, x2, y2), inside = best_window(targets((600.0, 300.0, 608.0, 320.0), zooms=[2.0]), INPUT, PICTURE)
    assert (x2 - x1, y2 - y1) == (208, 128)
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == (604, 310)
    assert inside.tolist() == [True]


def test_a_window_does_not_show_whom_it_enlarges_far_too_little() -> None:
    both = targets((600.0, 300.0, 640.0, 390.0), (650.0, 300.0, 655.0, 312.0), zooms=[0.5, 3.0])
    _, inside = best_window(both, INPUT, PICTURE)
    assert inside.sum() == 1


def test_neighbours_of_like_height_share_a_window() -> None:
    both = targets((600.0, 300.0, 608.0, 320.0), (630.0, 300.0, 638.0, 318.0), zooms=[2.0, 2.2])
    _, inside = best_window(both, INPUT, PICTURE)
    assert inside.all()


@pytest.mark.parametrize(
    "camera", [(1280, 720), (1920, 1080), (640, 480), (768, 576), (720, 1280), (480, 640), (600, 600)]
)
def test_a_window_takes_the_input_size_that_the_whole_picture_took(camera: tuple[int, int]) -> None:
    """Another one would be loaded first, while frames wait."""
    for base in ((416, 416), (640, 640)):
        size = best_input_size(base, *camera)
        least = min(size[0] / camera[0], size[1] / camera[1]) * 1.25
        for zoom in np.linspace(least, MOST_ZOOM, 200):
            (x1, y1, x2, y2), _ = best_window(targets((300.0, 300.0, 308.0, 320.0), zooms=[zoom]), size, camera)
            assert best_input_size(base, x2 - x1, y2 - y1) == size
