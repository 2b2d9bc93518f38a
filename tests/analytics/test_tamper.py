"""Row 8: a view that is taken away is named within 10 s; light, weather and passers-by are no tamper."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import pytest

from detector.analytics.tamper import EXPLAINED, TamperDetector
from detector.core.types import Pixels
from support.tamper_scenes import (
    ATTACKS,
    Light,
    by_night,
    expose,
    fogged,
    image,
    person,
    quiet_hours,
    yard,
)

LEARNING_S = 30


def _exposed(scene: Light, second: int) -> Pixels:
    return expose(scene, noise=4.0, seed=second)


def watched(scene: Light, *, noise: float = 2.0, seconds: int = LEARNING_S) -> TamperDetector:
    """A detector that has seen `scene` for so many seconds."""
    detector = TamperDetector()
    for second in range(seconds):
        assert detector.update(image(expose(scene, noise=noise, seed=second)), float(second)) is None
    return detector


def kinds(detector: TamperDetector, show: Callable[[int], np.ndarray], start: int, seconds: int) -> list[str | None]:
    return [detector.update(image(show(second)), float(second)) for second in range(start, start + seconds)]


@pytest.mark.parametrize("night", [False, True], ids=["day", "night"])
@pytest.mark.parametrize("name", ATTACKS)
def test_night_08_each_is_named_within_10_s_and_its_end_too(name: str, night: bool) -> None:
    expected, attack = ATTACKS[name]
    scene = yard()
    view = by_night(scene) if night else scene
    detector = watched(view, noise=5.0 if night else 2.0)
    found = kinds(detector, lambda second: attack(scene, second, night), LEARNING_S, 60)
    assert expected in found[:10]
    assert set(found[10:]) == {expected}, "and it stays"
    assert detector.sudden
    assert kinds(detector, lambda second: expose(view, seed=second), LEARNING_S + 60, 10)[-1] is None


@pytest.mark.parametrize("hours", [0.2, pytest.param(2.0, marks=pytest.mark.fault)], ids=str)
def test_night_08_day_night_fog_and_passers_by_are_no_tamper(hours: float) -> None:
    detector, false = TamperDetector(), []
    for second, luma in enumerate(quiet_hours(round(hours * 3600))):
        kind = detector.update(image(luma), float(second))
        if kind is not None:
            false.append((second, kind))
    assert false == []


def test_night_08_fog_a_lamp_and_a_switch_to_infrared_at_once_are_no_tamper() -> None:
    scene = yard()
    for other in (fogged(scene, 0.6), by_night(scene), (scene * 0.25).astype(np.float32)):
        detector = watched(scene)
        assert set(kinds(detector, partial(_exposed, other), LEARNING_S, 30)) == {None}


def test_night_08_somebody_close_for_three_seconds_is_no_tamper() -> None:
    scene = yard()
    detector = watched(scene)
    near = person(scene, 160, tall=330)
    found = kinds(detector, lambda n: expose(near if n < LEARNING_S + 3 else scene, seed=n), LEARNING_S, 30)
    assert set(found) == {None}


def test_night_08_a_new_view_is_taken_as_normal_after_ten_minutes() -> None:
    detector = watched(yard())
    other = np.ascontiguousarray(yard(42)[::-1, ::-1])
    found = kinds(detector, lambda n: expose(other, seed=n), LEARNING_S, 700)
    assert found[300] == "turned"
    assert found[-1] is None
    assert "turned" in kinds(detector, lambda n: expose(yard(), seed=n), LEARNING_S + 700, 10), "and is watched then"


def test_night_08_black_from_the_start_is_degraded_but_no_change() -> None:
    detector = TamperDetector()
    assert kinds(detector, lambda n: expose(yard() * 0, noise=0.5, seed=n), 0, 10)[-1] == "black"
    assert not detector.sudden


def test_night_08_noise_is_known_at_the_first_look() -> None:
    detector = watched(yard())
    detector.update(image(ATTACKS["noise"][1](yard(), 5, False)), float(LEARNING_S))
    assert detector.noisy


def test_looks_are_a_second_apart_and_another_size_starts_again() -> None:
    detector = watched(yard())
    for step in range(9):
        detector.update(image(np.zeros((180, 320), np.uint8)), LEARNING_S - 1 + step * 0.1)
    assert detector.kind is None
    large = [cv2.resize(expose(yard(), seed=n), (640, 360)) for n in range(3)]
    assert set(kinds(detector, lambda n: large[n % 3], LEARNING_S, 20)) == {None}
    assert detector.update(image(np.zeros((8, 8), np.uint8)), 999.0) is None


def test_each_kind_is_explained() -> None:
    assert {expected for expected, _ in ATTACKS.values()} == set(EXPLAINED)
