"""A yard as a fixed camera sees it by day, dusk, night and in fog, and what happens to the lens: made, not filmed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.core.types import ArrayImage, Pixels

WIDTH, HEIGHT = 320, 180
Light = NDArray[np.float32]


def yard(seed: int = 1) -> Light:
    """Reflectance 0..1, float32 [180, 320]: sky, houses with windows, a fence, bushes, a path."""
    dice = np.random.default_rng(seed)
    scene = np.full((HEIGHT, WIDTH), 0.75, np.float32)
    scene[70:] = 0.45
    for _ in range(7):
        x, y, w, h = dice.integers(0, 280), dice.integers(20, 90), dice.integers(25, 70), dice.integers(25, 70)
        scene[y : y + h, x : x + w] = dice.uniform(0.15, 0.9)
        for wx in range(int(x) + 4, int(x + w) - 6, 12):
            scene[y + 6 : y + 14, wx : wx + 6] = dice.uniform(0.05, 0.3)
    scene[120:124, ::4] = 0.9
    bush = cv2.GaussianBlur(dice.random((50, 90)).astype(np.float32), (0, 0), 1.5)
    scene[125:175, 20:110] = 0.2 + 1.2 * (bush - bush.min())
    cv2.line(scene, (200, 179), (250, 70), 0.85, 6)
    return np.asarray(np.clip(scene, 0.02, 1.0), np.float32)


def expose(scene: Light, *, gain: float = 200.0, noise: float = 2.0, seed: int = 0) -> Pixels:
    """Luma, uint8, with sensor noise of so many grey levels."""
    dice = np.random.default_rng(seed)
    return np.clip(scene * gain + 8.0 + dice.normal(0.0, noise, scene.shape), 0, 255).astype(np.uint8)


def image(luma: Pixels) -> ArrayImage:
    return ArrayImage(np.repeat(luma[:, :, None], 3, 2))


def person(scene: Light, x: int, *, tall: int = 50, tone: float = 0.1) -> Light:
    drawn: Light = scene.copy()
    cv2.ellipse(drawn, (x, 150), (tall // 5, tall // 2), 0, 0, 360, tone, -1)
    return drawn


def fogged(scene: Light, thick: float) -> Light:
    """Fog of 0..1: contrast goes, light grey comes."""
    return np.asarray(scene * (1 - thick) + 0.7 * thick, np.float32)


def infrared(scene: Light) -> Light:
    """What the yard reflects of infrared light: the sky is black, leaves are white."""
    dark: Light = scene.copy()
    dark[:60] *= 0.05
    dark[125:175, 20:110] = np.clip(dark[125:175, 20:110] + 0.4, 0, 1)
    return dark


def lamplit(scene: Light) -> Light:
    """By the camera's own lamp: bright in the middle."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    lamp = np.exp(-(((x - WIDTH / 2) / 130) ** 2 + ((y - 120) / 70) ** 2)).astype(np.float32)
    return np.asarray(scene * (0.15 + 0.85 * lamp), np.float32)


def by_night(scene: Light) -> Light:
    return lamplit(infrared(scene))


def quiet_hours(seconds: int, *, seed: int = 3) -> Iterator[Pixels]:
    """One picture a second: clouds, people, cars' headlights, lamps, wind; fog, dusk and the infrared switch in between.

    In shares of the whole: day to 0.2, fog that comes and goes to 0.45, dusk to 0.7, infrared night to 0.95, day.
    """
    dice, scene = np.random.default_rng(seed), yard()
    wind = np.zeros((HEIGHT, WIDTH), np.float32)
    for second in range(seconds):
        at = second / seconds
        now = scene
        if second % 7 == 0:
            wind[:] = 0
            wind[125:175, 20:110] = cv2.GaussianBlur(dice.normal(0, 0.5, (50, 90)).astype(np.float32), (0, 0), 2.0)
        now = np.clip(now + wind, 0, 1)
        if second % 60 < 15:
            now = person(now, 20 + (second % 60) * 20)
        if second % 600 < 4:
            now = person(now, 160, tall=260)  # close to the lens
        gain, noise = 200.0 * (1 + 0.15 * np.sin(second / 40)), 2.0
        if 0.2 <= at < 0.45:
            now = fogged(now, 0.85 * float(np.sin((at - 0.2) / 0.25 * np.pi)))
        elif 0.45 <= at < 0.7:
            dark = (at - 0.45) / 0.25
            gain, noise = 200.0 * (1 - 0.85 * dark), 2.0 + 5.0 * dark
        elif 0.7 <= at < 0.95:
            now, gain, noise = by_night(now), 190.0, 5.0
            if second % 300 < 3:  # headlights sweep
                cv2.circle(now, (100 * (second % 300) + 40, 110), 60, 1.0, -1)
            if second % 900 < 300:  # the porch's lamp
                now[80:150, 180:300] = np.clip(now[80:150, 180:300] * 1.6 + 0.1, 0, 1)
        yield expose(now, gain=gain, noise=noise, seed=second)


Attack = Callable[[Light, int, bool], Pixels]
"""What the camera then shows of the yard in the second `n`, by night or by day."""


def lit(scene: Light, *, night: bool) -> Light:
    return by_night(scene) if night else scene


def _cloth(_scene: Light, second: int, _night: bool) -> Pixels:
    """A bag over the lens: some light, no edges, folds that are wide."""
    return expose(np.asarray(cv2.GaussianBlur(yard(9), (0, 0), 25) * 0.5, np.float32), seed=second)


def _hand(scene: Light, second: int, night: bool) -> Pixels:
    """A hand's breadth before the lens: dark, with the scene at one edge."""
    covered = np.full_like(scene, 0.12)
    covered[:, :25] = cv2.GaussianBlur(lit(scene, night=night), (0, 0), 4)[:, :25]
    return expose(covered, seed=second)


def _flat(level: float) -> Attack:
    return lambda scene, second, _night: expose(np.full_like(scene, level), noise=0.7, seed=second)


def _turned(scene: Light, second: int, night: bool) -> Pixels:
    moved = np.roll(infrared(scene) if night else scene, (25, 120), (0, 1))
    return expose(lamplit(moved) if night else moved, seed=second)


def _to_a_wall(_scene: Light, second: int, night: bool) -> Pixels:
    other = infrared(yard(42)) if night else yard(42)
    other = np.ascontiguousarray(other[::-1, ::-1])
    return expose(lamplit(other) if night else other, seed=second)


def _defocused(scene: Light, second: int, night: bool) -> Pixels:
    return expose(np.asarray(cv2.GaussianBlur(lit(scene, night=night), (0, 0), 5), np.float32), seed=second)


def _noise(scene: Light, second: int, _night: bool) -> Pixels:
    return np.random.default_rng(second).integers(0, 256, scene.shape).astype(np.uint8)


ATTACKS: dict[str, tuple[str, Attack]] = {
    "black": ("black", _flat(0.0)),
    "grey": ("grey", _flat(0.5)),
    "frozen": ("frozen", lambda scene, _second, night: expose(lit(scene, night=night), seed=77)),
    "cloth": ("covered", _cloth),
    "hand": ("covered", _hand),
    "turned": ("turned", _turned),
    "wall": ("turned", _to_a_wall),
    "defocused": ("defocused", _defocused),
    "noise": ("noise", _noise),
}
