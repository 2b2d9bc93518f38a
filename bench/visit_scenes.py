"""Scenes for bench.visits: the shared clips made small and set into other pictures, under several conditions.

Each scene is made while it is read, always the same. The parts "choose" and "judge" share no stretch of a clip and no
background. Pictures are BGR uint8, FPS a second.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from detector.capture.pictures import clip_frames
from detector.core.types import Pixels
from support.trackscore import ScoredClip, read_truth, true_visits

from .tracking import stored_boxes
from .visit_conditions import CONDITIONS, FPS, under
from .visit_empty import empty_pictures, empty_scenes, picture
from .visit_parts import FULL, LARGE, SMALL, Part, Truth, VisitScene
from .visit_warps import Inset, Size, Warp, fisheye, overhead, posts

LAYOUTS = ("edge", "post", "fisheye", "overhead", "several")
"""Conditions that are of the place and the lens, by day."""
EMPTY_S = 150
"""Media seconds of each empty scene; 24 of them a part make two hours in all."""
_FRAMES = 120
_MODEL = "yolox_tiny_humanart.onnx"  # its boxes are the one-by-one clip's marks: people there are 400 px tall
_SHORTEST = 15  # frames; a person who is there for less is no visit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clip:
    """A stretch of a clip: `frames` from `start` on; `everybody`: all people in it are marked; `person_px`: their height."""

    name: str
    path: Path
    truth: Callable[[], Truth]
    start: int
    frames: int
    everybody: bool
    person_px: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the plan: clips shown at `scale` in a picture of `size`."""

    clips: tuple[_Clip, ...]
    scale: float
    size: Size = LARGE
    condition: str = "day"

    @property
    def name(self) -> str:
        return f"{' and '.join(clip.name for clip in self.clips)} {self.scale:.0%} in {self.size[0]}x{self.size[1]}"


def visit_scenes(shared: Path, *, quick: bool) -> list[VisitScene]:
    """All scenes, or with `quick` about a quarter of them; those of "choose" first."""
    scenes: list[VisitScene] = []
    parts: tuple[Part, Part] = ("choose", "judge")
    for part in parts:
        grounds = empty_pictures(shared, part)
        street, corridor = _street(shared, part), _corridor(shared, part)
        plan = _quick_plan(street, corridor) if quick else _plan(street, corridor)
        scenes += [_set_in(entry, part, grounds) for entry in plan]
        empty = empty_scenes(grounds, part, seconds=10 if quick else EMPTY_S)
        scenes += empty
    return scenes


def _quick_plan(street: tuple[_Clip, _Clip], corridor: _Clip) -> Iterator[_Entry]:
    one, two = street
    for scale in (0.5, 0.33, 0.25, 0.18):
        yield _Entry((one,), scale)
    yield _Entry((one,), 0.33, SMALL)
    yield _Entry((two,), 0.25, FULL)
    yield _Entry((corridor,), 0.06)
    for condition in CONDITIONS:
        yield _Entry((two,), 0.25, LARGE, condition)
    for layout in LAYOUTS:
        yield _Entry((one, two) if layout == "several" else (one,), 0.33, LARGE, layout)


def _plan(street: tuple[_Clip, _Clip], corridor: _Clip) -> Iterator[_Entry]:
    one, two = street
    for scale in (1.0, 0.5, 0.33, 0.25, 0.18):
        yield _Entry((one,), scale)
        yield _Entry((two,), scale, FULL)
        yield _Entry((corridor,), scale)
    for scale in (0.33, 0.25, 0.18):
        yield _Entry((one,), scale, SMALL)
        yield from (_Entry((two,), scale, LARGE, condition) for condition in CONDITIONS)
    for scale, size in ((0.1, LARGE), (0.06, LARGE), (0.33, SMALL), (0.1, SMALL), (0.06, FULL)):
        yield _Entry((corridor,), scale, size)
    for condition in CONDITIONS:
        yield _Entry((two,), 0.25, SMALL, condition)
        yield _Entry((corridor,), 0.08, LARGE, condition)
    for scale in (0.5, 0.33, 0.25):
        yield from (_Entry((one,), scale, LARGE, layout) for layout in LAYOUTS if layout != "several")
    for scale, size in ((0.33, LARGE), (0.25, LARGE), (0.18, LARGE), (0.33, FULL)):
        yield _Entry((*street, corridor) if size == FULL else street, scale, size, "several")


# --- people in other pictures


def _set_in(entry: _Entry, part: Part, grounds: Sequence[Path]) -> VisitScene:
    seed = zlib.crc32(f"{part} {entry.name} {entry.condition}".encode())
    insets = _insets(entry, seed)
    warp = _warp(entry)
    pictures = partial(_pictures, entry, insets, grounds[seed % len(grounds)], warp)
    return VisitScene(
        name=entry.name,
        part=part,
        condition=entry.condition,
        pictures=partial(under, entry.condition, pictures, seed % 1000),
        truth=partial(_truth, entry, insets, warp),
        marked=all(clip.everybody for clip in entry.clips),
    )


def _warp(entry: _Entry) -> Warp | None:
    if entry.condition == "fisheye":
        return fisheye(entry.size)
    return overhead(entry.size) if entry.condition == "overhead" else None


def _insets(entry: _Entry, seed: int) -> tuple[Inset, ...]:
    """Where each clip is shown: several side by side, one for the edge half out of the picture, others anywhere."""
    place, (width, height) = np.random.default_rng(seed), entry.size
    found = []
    for number, clip in enumerate(entry.clips):
        high, wide = next(_read(clip.path)).shape[:2]
        size = round(wide * entry.scale), round(high * entry.scale)
        strip = width // len(entry.clips)
        left = number * strip + int(place.integers(0, max(0, strip - size[0]) + 1))
        if entry.condition == "edge":
            left = -size[0] // 2 if seed % 2 else width - size[0] // 2
        found.append(Inset(left, int(place.integers(0, max(0, height - size[1]) + 1)), size, entry.size))
    return tuple(found)


def _truth(entry: _Entry, insets: Sequence[Inset], warp: Warp | None) -> Truth:
    truth: Truth = {number: [] for number in range(max(clip.frames for clip in entry.clips))}
    for which, (clip, inset) in enumerate(zip(entry.clips, insets, strict=True)):
        whole, factor = clip.truth(), inset.size[0] / next(_read(clip.path)).shape[1]
        for number in range(clip.frames):
            for key, box in whole.get(number + clip.start, []):
                placed = inset.box(box, factor)
                if placed is not None:
                    truth[number].append((1000 * which + key, warp.box(placed) if warp else placed))
    return truth


def _pictures(entry: _Entry, insets: Sequence[Inset], ground: Path, warp: Warp | None) -> Iterator[Pixels]:
    still = np.asarray(cv2.resize(picture(ground), entry.size, interpolation=cv2.INTER_AREA), np.uint8)
    streams = [islice(_read(clip.path), clip.start, clip.start + clip.frames) for clip in entry.clips]
    last: list[Pixels | None] = [None] * len(streams)
    for _ in range(max(clip.frames for clip in entry.clips)):
        whole = still.copy()
        for which, (clip, inset) in enumerate(zip(entry.clips, insets, strict=True)):
            small = next(streams[which], None)
            if small is not None:  # a shorter clip stands still at its end
                last[which] = np.asarray(cv2.resize(small, inset.size, interpolation=cv2.INTER_AREA), np.uint8)
            shown = last[which]
            assert shown is not None
            inset.put(shown, whole)
            if entry.condition == "post":
                posts(whole, inset, width=round(0.4 * clip.person_px * entry.scale))
        yield warp.picture(whole) if warp else whole


def _street(shared: Path, part: Part) -> tuple[_Clip, _Clip]:
    """Two stretches of vtest.avi; people on the road at its top are not marked."""
    video = shared / "media" / "video"
    truth = partial(read_truth, video / "gt" / "vtest_mot_gt.csv")
    starts = (0, 210) if part == "choose" else (420, 620)
    first, second = (
        _Clip(
            name="vtest", path=video / "vtest.avi", truth=truth, start=start, frames=_FRAMES, everybody=False,
            person_px=85,
        )
        for start in starts
    )  # fmt: skip
    return first, second


def _corridor(shared: Path, part: Part) -> _Clip:
    """Two visits of the one-by-one clip, with the empty pictures between them."""
    path = shared / "media" / "video" / "one-by-one-person-detection.mp4"
    start, end = (30, 460) if part == "choose" else (735, 1210)
    truth = partial(_corridor_truth, path, shared)
    return _Clip(
        name="one-by-one", path=path, truth=truth, start=start, frames=end - start, everybody=True, person_px=400
    )


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


def _read(path: Path) -> Iterator[Pixels]:
    return (frame.image.bgr() for frame in clip_frames(path))
