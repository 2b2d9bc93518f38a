from __future__ import annotations

from typing import Any

import pytest

from detector.config.schema import Camera
from detector.service.frigate_switches import NUMBERS, ON_OFF, contour_area, motion_threshold, states


def camera(**changes: Any) -> Camera:
    return Camera.model_validate({"source": "x", **changes})


def test_the_switches_say_what_the_configuration_says() -> None:
    on = states(camera())
    assert set(on) == {*ON_OFF, *NUMBERS}
    assert {name for name in ON_OFF if on[name] == "OFF"} == {"audio", "improve_contrast"}
    off = states(camera(enabled=False, clip={"enabled": False}, motion={"enabled": False}))
    assert {name for name in ON_OFF if on[name] != off[name]} == {"enabled", "recordings", "motion"}


@pytest.mark.parametrize(
    ("motion", "threshold", "area"),
    [
        ({}, 30, 2),
        ({"threshold": 12.4, "min_area": 0.01}, 12, 178),
        ({"threshold": 0.2, "min_area": 0.0}, 1, 1),
        ({"threshold": 255, "min_area": 1.0}, 255, 17_800),
    ],
)
def test_the_numbers_are_in_frigates_units(motion: dict[str, float], threshold: int, area: int) -> None:
    settings = camera(motion=motion)
    assert (motion_threshold(settings), contour_area(settings)) == (threshold, area)
    said = states(settings)
    assert (said["motion_threshold"], said["motion_contour_area"]) == (str(threshold), str(area))
