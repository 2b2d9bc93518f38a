"""Scenes for bench.visits: the shared clips made small and set into other pictures, under several conditions.

Each scene is made while it is read, always the same. The parts "choose" and "judge" share no stretch of a clip and no
background. Pictures are BGR uint8, FPS a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from detector.capture.pictures import clip_frames
from detector.core.types import Pixels
from support.trackscore import Identified, ScoredClip, read_truth, true_visits

from .tracking import stored_boxes
from .visit_conditions import CONDITIONS, FPS, Change, day, noise, under

Part = Literal["choose", "judge"]
Size = tuple[int, int]
Truth = dict[int, Identified]

LARGE, SMALL = (1280, 720), (480, 270)
_FRAMES = 120
_MODEL = "yolox_tiny_humanart.onnx"  # its boxes are the one-by-one clip's marks: people there are 400 px tall
_STILL = 3 * FPS  # an empty scene shows each of its pictures so long
_SHORTEST = 15  # frames; a person who is there for less is no visit


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitScene:
    """`truth` gives the people of each frame (from 0) by identity, boxes px; `marked`: everybody in it is among them."""

    name: str
    part: Part
    condition: str
    pictures: Callable[[], Iterator[Pixels]]
    truth: Callable[[], Truth]
    marked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clip:
    """A stretch of a clip: `frames` from `start` on; `everybody` says whether all people in it are marked."""

    name: str
    path: Path
    truth: Callable[[], Truth]
    start: int
    frames: int
    everybody: bool


def visit_scenes(shared: Path, *, quick: bool) -> list[VisitScene]:
    """All scenes, or with `quick` about a third of them; those of "choose" first."""
    scenes: list[VisitScene] = []
    for part in ("choose", "judge"):
        street, corridor = _street(shared, part), _corridor(shared, part)
        grounds = _empty_pictures(shared, part)
        plan: list[tuple[_Clip, float, Size, str]] = [
            *((street[0], scale, LARGE, "day") for scale in (0.5, 0.33, 0.25, 0.18)),
            (street[0], 0.33, SMALL, "day"),
            (corridor, 0.06, LARGE, "day"),
            *((street[1], 0.25, LARGE, name) for name in ("dusk", "compressed")),
        ]
        if not quick:
            plan += [(street[1], scale, LARGE, name) for name in CONDITIONS for scale in (0.33, 0.18)]
            plan += [(street[1], 0.25, LARGE, name) for name in ("ir", "blurred", "motion-blur")]
            plan += [(street[1], 0.25, SMALL, name) for name in ("day", "dusk", "compressed")]
            plan += [(corridor, scale, size, "day") for scale in (0.18, 0.1) for size in (LARGE, SMALL)]
        scenes += [_set_in(*entry, part, grounds[k % len(grounds)], seed=k) for k, entry in enumerate(plan)]
        scenes += _empty_scenes(grounds, part, seconds=30 if quick else 120)
    return scenes


# --- people in other pictures


def _set_in(
    clip: _Clip, scale: float, size: Size, condition: str, part: Part, ground: Path, *, seed: int
) -> VisitScene:
    height, width = next(_read(clip.path)).shape[:2]
    inset = round(width * scale), round(height * scale)
    place = np.random.default_rng(seed)
    left, top = (int(place.integers(0, whole - side + 1)) for whole, side in zip(size, inset, strict=True))
    factor = inset[0] / width

    def truth() -> Truth:
        whole = clip.truth()
        return {
            number: [
                (key, (box[0] * factor + left, box[1] * factor + top, box[2] * factor + left, box[3] * factor + top))
                for key, box in whole.get(number + clip.start, [])
            ]
            for number in range(clip.frames)
        }

    def pictures() -> Iterator[Pixels]:
        still = cv2.resize(_picture(ground), size, interpolation=cv2.INTER_AREA)
        for pixels in islice(_read(clip.path), clip.start, clip.start + clip.frames):
            whole = still.copy()
            whole[top : top + inset[1], left : left + inset[0]] = cv2.resize(
                pixels, inset, interpolation=cv2.INTER_AREA
            )
            yield np.asarray(whole, np.uint8)

    return VisitScene(
        name=f"{clip.name} {scale:.0%} in {size[0]}x{size[1]}",
        part=part,
        condition=condition,
        pictures=partial(under, condition, pictures, seed),
        truth=truth,
        marked=clip.everybody,
    )


def _street(shared: Path, part: Part) -> tuple[_Clip, _Clip]:
    """Two stretches of vtest.avi; people on the road at its top are not marked."""
    video = shared / "media" / "video"
    truth = partial(read_truth, video / "gt" / "vtest_mot_gt.csv")
    starts = (0, 210) if part == "choose" else (420, 620)
    first, second = (
        _Clip(name="vtest", path=video / "vtest.avi", truth=truth, start=start, frames=_FRAMES, everybody=False)
        for start in starts
    )
    return first, second


def _corridor(shared: Path, part: Part) -> _Clip:
    """Two visits of the one-by-one clip, with the empty pictures between them."""
    path = shared / "media" / "video" / "one-by-one-person-detection.mp4"
    start, end = (30, 460) if part == "choose" else (735, 1210)
    truth = partial(_corridor_truth, path, shared)
    return _Clip(name="one-by-one", path=path, truth=truth, start=start, frames=end - start, everybody=True)


@cache
def _corridor_truth(path: Path, shared: Path) -> Truth:
    """The clip's record says when somebody is there, the model's box in the picture's own size says where."""
    record = json.loads((path.parent / "gt" / "one-by-one_presence_machine.json").read_text(encoding="utf-8"))
    visits = true_visits((first / record["fps"], last / record["fps"]) for first, last in record["segments"])
    clip: ScoredClip = stored_boxes(path, shared / "models" / _MODEL)
    truth: Truth = {}
    for key, (begin, end) in enumerate(visits):
        for number in range(round(begin * FPS), round(end * FPS)):
            if len(clip.scores[number]) and clip.scores[number][0] >= 0.5:
                x1, y1, x2, y2 = clip.boxes[number][0].tolist()
                truth[number] = [(key, (x1, y1, x2, y2))]
    return truth


def visit_heights(scene: VisitScene) -> dict[int, tuple[int, float]]:
    """Of each identity that is there for `_SHORTEST` frames: its first frame, its median height in px."""
    seen: dict[int, list[tuple[int, float]]] = {}
    for number, people in sorted(scene.truth().items()):
        for key, box in people:
            seen.setdefault(key, []).append((number, box[3] - box[1]))
    return {
        key: (points[0][0], float(np.median([height for _, height in points])))
        for key, points in seen.items()
        if len(points) >= _SHORTEST
    }


# --- nobody


def _empty_pictures(shared: Path, part: Part) -> list[Path]:
    """Pictures without people: every other one, so that the parts share none."""
    coco = shared / "media" / "coco"
    marks = json.loads((coco / "person_instances.json").read_text(encoding="utf-8"))
    peopled = {mark["image_id"] for mark in marks["annotations"]}
    names = sorted(picture["file_name"] for picture in marks["images"] if picture["id"] not in peopled)
    paths = [*(coco / "images" / name for name in names), *sorted((shared / "media" / "negatives").iterdir())]
    return paths[0 if part == "choose" else 1 :: 2]


def _empty_scenes(grounds: Sequence[Path], part: Part, *, seconds: int) -> Iterator[VisitScene]:
    makers: dict[str, Change] = {
        "panned": _panned,
        "wind": _windy,
        "flicker": _flickering,
        "headlights": _headlights,
        "noise": _noisy,
    }
    for name, change in makers.items():
        yield VisitScene(
            name=f"nobody, {name}",
            part=part,
            condition="empty",
            pictures=partial(_empty, grounds, change, seconds * FPS),
            truth=dict,
            marked=True,
        )


def _empty(grounds: Sequence[Path], change: Change, frames: int) -> Iterator[Pixels]:
    size = (LARGE[0] + _STILL * 4, LARGE[1] + _STILL * 2)
    for number in range(frames):
        if number % _STILL == 0:
            still = cv2.resize(_picture(grounds[number // _STILL % len(grounds)]), size)
        yield day(change(np.asarray(still, np.uint8), number), number)


def _panned(pixels: Pixels, number: int) -> Pixels:
    step = number % _STILL
    return np.ascontiguousarray(pixels[2 * step : 2 * step + LARGE[1], 4 * step : 4 * step + LARGE[0]])


def _noisy(pixels: Pixels, number: int) -> Pixels:
    """A sensor at its highest gain."""
    return noise(pixels[: LARGE[1], : LARGE[0]], number + 1, sigma=15.0)


def _windy(pixels: Pixels, number: int) -> Pixels:
    """Parts of the picture sway by up to 4 px, each at its own phase."""
    y, x = np.mgrid[0 : LARGE[1], 0 : LARGE[0]].astype(np.float32)
    swaying = (np.sin(x / 90.0) * np.sin(y / 70.0) > 0.5) * 4.0
    shift = swaying * np.sin(number * 0.9 + x / 37.0 + y / 53.0)
    moved = cv2.remap(pixels, (x + shift).astype(np.float32), y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


def _flickering(pixels: Pixels, number: int) -> Pixels:
    """A lamp that swings in brightness, and a screen that jumps."""
    lit = cv2.convertScaleAbs(pixels[: LARGE[1], : LARGE[0]], alpha=1.0 + 0.2 * float(np.sin(number * 0.3)))
    if number // 3 % 2:
        lit[300:400, 500:620] = cv2.convertScaleAbs(lit[300:400, 500:620], alpha=1.5)
    return np.asarray(lit, np.uint8)


def _headlights(pixels: Pixels, number: int) -> Pixels:
    """Two bright spots cross a dark picture."""
    dark = cv2.convertScaleAbs(pixels[: LARGE[1], : LARGE[0]], alpha=0.25)
    x = number * 25 % (LARGE[0] + 300) - 150
    glow = np.zeros_like(dark)
    for beside in (0, 70):
        cv2.circle(glow, (x + beside, 430), 18, (235, 250, 255), -1)
    return np.asarray(cv2.add(dark, cv2.GaussianBlur(glow, (0, 0), 12.0)), np.uint8)


@cache
def _picture(path: Path) -> Pixels:
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise SystemExit(f"{path} cannot be read as a picture")
    return np.asarray(pixels, np.uint8)


def _read(path: Path) -> Iterator[Pixels]:
    return (frame.image.bgr() for frame in clip_frames(path))
