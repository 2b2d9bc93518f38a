"""The gate's threshold follows the picture's noise."""

from __future__ import annotations

import numpy as np
import pytest

from detector.analytics.motion import MotionGate
from detector.config.schema import MotionSettings
from detector.core.types import ArrayImage, Image, Pixels

SETTINGS = MotionSettings()


_GRAIN = np.random.default_rng(0).normal(0.0, 1.0, (760, 1344, 3)).astype(np.float32)


def grainy(pixels: Pixels, number: int, sigma: float) -> Image:
    """With noise of `sigma` grey levels, a part of `_GRAIN` that differs from number to number."""
    y, x = number * 7 % 40, number * 13 % 64
    noise = _GRAIN[y : y + pixels.shape[0], x : x + pixels.shape[1]] * np.float32(sigma)
    return ArrayImage(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def with_figure(x: int, *, level: int, height: int = 20) -> Pixels:
    """A figure of a third of its height's width, at `x` in a grey picture of 1280x720."""
    pixels = np.full((720, 1280, 3), 60, np.uint8)
    pixels[400 : 400 + height, x : x + height // 3] = level
    return pixels


def calm(gate: MotionGate, sigma: float, *, seconds: int = 6) -> int:
    """Show nothing but noise; how often it was taken for motion."""
    pixels = np.full((720, 1280, 3), 60, np.uint8)
    return sum(gate.assess(grainy(pixels, k, sigma), k / 10, people=False).moving for k in range(10 * seconds))


@pytest.mark.parametrize("level", [40, 80])
def test_a_faint_figure_is_motion_where_the_noise_is_low(level: int) -> None:
    """At dusk a person differs from the ground by 15 to 20 grey levels, and smoothing takes half of them."""
    follows, fixed = MotionGate(settings=SETTINGS), MotionGate(settings=MotionSettings(threshold=15.0))
    seen = []
    for gate in (follows, fixed):
        assert calm(gate, 3.0) == 0
        shown = [grainy(with_figure(300 + 2 * k, level=level), k, 3.0) for k in range(10)]
        seen.append(sum(gate.assess(one, 6.0 + k / 10, people=False).moving for k, one in enumerate(shown)))
    assert seen[0] >= 6
    assert seen[1] < seen[0]


@pytest.mark.parametrize("sigma", [0.0, 2.5, 6.0, 15.0])
def test_noise_alone_is_no_motion_however_strong(sigma: float) -> None:
    assert calm(MotionGate(settings=SETTINGS), sigma) == 0


def test_a_faint_change_of_the_light_is_no_motion() -> None:
    gate = MotionGate(settings=SETTINGS)
    assert calm(gate, 2.5) == 0
    darker = np.full((720, 1280, 3), 60, np.uint8)
    darker[:, :400] = 50  # the edge of a cloud's shadow
    assert not gate.assess(grainy(darker, 100, 2.5), 6.0, people=False).moving


def test_faint_changes_do_not_join_what_moves_apart() -> None:
    """Two bright figures with a faint trail between them are two regions."""
    gate = MotionGate(settings=SETTINGS)
    assert calm(gate, 1.0) == 0
    pixels = with_figure(300, level=200, height=40)
    pixels[400:440, 360:373] = 200
    pixels[405:435, 313:360] = 70
    pixels[400:420, 900:907] = 75
    gate.assess(grainy(pixels, 200, 1.0), 6.0, people=False)
    regions = gate.regions()
    assert len(regions) == 3, "and the faint one far from them"
    assert regions[2][0] == pytest.approx(900, abs=12)


def test_a_threshold_that_is_set_holds() -> None:
    gate = MotionGate(settings=MotionSettings(threshold=15.0))
    assert calm(gate, 1.0) == 0
    assert not gate.assess(grainy(with_figure(300, level=68, height=60), 1, 1.0), 6.0, people=False).moving
