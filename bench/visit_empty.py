"""Scenes without people for bench.visits: stills that are panned and lit, wind, rain, flicker, headlights, animals.

Each kind of change is shown by day, at dusk and in infrared, 10 pictures a second, always the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.core.types import Pixels

from .visit_conditions import FPS, Change, noise, under
from .visit_parts import LARGE, Part, VisitScene

_STILL = 3 * FPS  # a scene shows each of its pictures so long
_CROSSING = 5 * FPS  # an animal crosses the picture in so many
_LIGHTS = ("day", "dusk", "ir")
_ANIMALS: dict[Part, dict[str, tuple[float, float, float, float]]] = {
    "choose": {
        "000000001675": (0.0, 0.0, 0.85, 0.65),
        "000000005992": (0.3, 0.25, 0.8, 1.0),
        "000000010363": (0.35, 0.25, 0.75, 0.7),
        "000000011813": (0.5, 0.05, 0.9, 1.0),
    },
    "judge": {
        "000000000776": (0.0, 0.0, 0.8, 0.9),
        "000000001818": (0.0, 0.0, 0.9, 1.0),
        "000000007108": (0.2, 0.0, 0.7, 1.0),
        "000000007888": (0.2, 0.25, 0.85, 1.0),
    },
}
"""Animals, and things as slender as a person: x1, y1, x2, y2 as shares of the picture."""


def empty_pictures(shared: Path, part: Part) -> list[Path]:
    """Pictures without people: every other one, so that the parts share none."""
    coco = shared / "media" / "coco"
    marks = json.loads((coco / "person_instances.json").read_text(encoding="utf-8"))
    peopled = {mark["image_id"] for mark in marks["annotations"]}
    names = sorted(picture["file_name"] for picture in marks["images"] if picture["id"] not in peopled)
    paths = [*(coco / "images" / name for name in names), *sorted((shared / "media" / "negatives").iterdir())]
    return paths[0 if part == "choose" else 1 :: 2]


def empty_scenes(grounds: Sequence[Path], part: Part, *, seconds: int) -> Iterator[VisitScene]:
    """A scene of `seconds` for each kind of change in each light."""
    kinds: dict[str, Change] = {
        "panned": _panned,
        "wind": _windy,
        "flicker": _flickering,
        "headlights": _headlights,
        "noise": _noisy,
        "rain": _rainy,
        "clouds": _cloudy,
        "animals": partial(_with_animal, tuple(_cut_out(grounds, *one) for one in _ANIMALS[part].items())),
    }
    for name, change in kinds.items():
        for seed, light in enumerate(_LIGHTS):
            pictures = partial(_empty, grounds[seed:], change, seconds * FPS)
            yield VisitScene(
                name=f"nobody, {name}, {light}, {seconds} s",
                part=part,
                condition="empty",
                pictures=partial(under, light, pictures, seed),
                truth=dict,
                marked=True,
            )


def _empty(grounds: Sequence[Path], change: Change, frames: int) -> Iterator[Pixels]:
    size = (LARGE[0] + _STILL * 4, LARGE[1] + _STILL * 2)
    for number in range(frames):
        if number % _STILL == 0:
            still = cv2.resize(picture(grounds[number // _STILL % len(grounds)]), size)
        yield change(np.asarray(still, np.uint8), number)


def _panned(pixels: Pixels, number: int) -> Pixels:
    step = number % _STILL
    return np.ascontiguousarray(pixels[2 * step : 2 * step + LARGE[1], 4 * step : 4 * step + LARGE[0]])


def _noisy(pixels: Pixels, number: int) -> Pixels:
    """A sensor at its highest gain."""
    return noise(_whole(pixels), number + 1, sigma=15.0)


def _windy(pixels: Pixels, number: int) -> Pixels:
    """Parts of the picture sway by up to 4 px, each at its own phase."""
    x, y, swaying, phase = _sway()
    shift = swaying * np.sin(np.float32(number * 0.9) + phase)
    moved = cv2.remap(pixels, x + shift, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


@cache
def _sway() -> tuple[NDArray[np.float32], ...]:
    y, x = np.mgrid[0 : LARGE[1], 0 : LARGE[0]].astype(np.float32)
    swaying = ((np.sin(x / 90.0) * np.sin(y / 70.0) > 0.5) * 4.0).astype(np.float32)
    return x, y, swaying, (x / 37.0 + y / 53.0).astype(np.float32)


def _flickering(pixels: Pixels, number: int) -> Pixels:
    """A lamp that swings in brightness, and a screen that jumps."""
    lit = cv2.convertScaleAbs(_whole(pixels), alpha=1.0 + 0.2 * math.sin(number * 0.3))
    if number // 3 % 2:
        lit[300:400, 500:620] = cv2.convertScaleAbs(lit[300:400, 500:620], alpha=1.5)
    return np.asarray(lit, np.uint8)


def _headlights(pixels: Pixels, number: int) -> Pixels:
    """Two bright spots cross a dark picture."""
    dark = cv2.convertScaleAbs(_whole(pixels), alpha=0.25)
    x = number * 25 % (LARGE[0] + 300) - 150
    glow = np.zeros_like(dark[380:480])
    for beside in (0, 70):
        cv2.circle(glow, (x + beside, 50), 18, (235, 250, 255), -1)
    dark[380:480] = cv2.add(dark[380:480], cv2.GaussianBlur(glow, (0, 0), 12.0))
    return np.asarray(dark, np.uint8)


def _rainy(pixels: Pixels, number: int) -> Pixels:
    """Bright streaks, other ones in each picture."""
    wet = np.array(_whole(pixels), np.uint8)
    drops = np.random.default_rng(number)
    for x, y, length in drops.integers((0, 0, 10), (LARGE[0], LARGE[1], 40), (120, 3)).tolist():
        cv2.line(wet, (x, y), (x + length // 5, y + length), (190, 190, 190), 1)
    return wet


def _cloudy(pixels: Pixels, number: int) -> Pixels:
    """A soft shadow drifts over the picture."""
    middle = number * 9 % (2 * LARGE[0]) - LARGE[0] // 2
    shade = 1.0 - 0.45 * np.exp(-(((np.arange(LARGE[0]) - middle) / 160.0) ** 2))
    return np.asarray(cv2.multiply(_whole(pixels), _rows(shade), dtype=cv2.CV_8U), np.uint8)


def _rows(shade: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.broadcast_to(shade.astype(np.float32)[None, :, None], (LARGE[1], LARGE[0], 3)))


def _with_animal(animals: Sequence[tuple[Pixels, Pixels]], pixels: Pixels, number: int) -> Pixels:
    """An animal crosses the picture, 30 to 150 px tall, bobbing as it goes; one after the other."""
    turn, step = divmod(number, _CROSSING)
    cut, mask = _sized(animals[turn % len(animals)], (30, 60, 100, 150)[turn % 4])
    height, width = mask.shape
    x = round((LARGE[0] - width) * step / _CROSSING)
    y = (200, 330, 450, 520)[turn // 4 % 4] + round(3 * math.sin(number * 1.3))
    whole = np.array(_whole(pixels), np.uint8)
    place = whole[y : y + height, x : x + width]
    weight = mask[: place.shape[0], :, None].astype(np.float32) / 255.0
    place[:] = (cut[: place.shape[0]] * weight + place * (1.0 - weight)).astype(np.uint8)
    return whole


def _cut_out(grounds: Sequence[Path], name: str, part: tuple[float, float, float, float]) -> tuple[Pixels, Pixels]:
    """The animal and its soft, oval outline."""
    pixels = picture(next(path for path in grounds if path.stem == name))
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = (round(side * whole) for side, whole in zip(part, (width, height) * 2, strict=True))
    cut = pixels[y1:y2, x1:x2]
    mask = np.zeros(cut.shape[:2], np.uint8)
    axes = max(1, cut.shape[1] // 2 - 4), max(1, cut.shape[0] // 2 - 4)
    cv2.ellipse(mask, (cut.shape[1] // 2, cut.shape[0] // 2), axes, 0.0, 0.0, 360.0, 255.0, -1)
    return np.ascontiguousarray(cut), np.asarray(cv2.GaussianBlur(mask, (0, 0), 3.0), np.uint8)


def _sized(animal: tuple[Pixels, Pixels], height: int) -> tuple[Pixels, Pixels]:
    size = round(animal[0].shape[1] * height / animal[0].shape[0]), height
    cut, mask = (np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_AREA), np.uint8) for one in animal)
    return cut, mask


def _whole(pixels: Pixels) -> Pixels:
    return pixels[: LARGE[1], : LARGE[0]]


@cache
def picture(path: Path) -> Pixels:
    """A picture file, BGR; exits with a line that names it where it cannot be read."""
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise SystemExit(f"{path} cannot be read as a picture")
    return np.asarray(pixels, np.uint8)
