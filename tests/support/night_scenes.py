"""What the two cameras of the simulated night see: still scenes with noise, and people out of the shared clips."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path

import numpy as np

from detector.capture.pictures import clip_pictures
from detector.core.types import ArrayImage, Frame, Pixels
from detector.inference.detector import PersonDetector

from .fed_camera import CodedFootage, footage

FPS = 5
"""Pictures a second while somebody walks: every second one of the clips'."""
_STILL = 10  # pictures of a still scene, shown again and again
_SPREAD = 30  # one picture in so many: their median is the scene without people
_MOST = 10_000  # pictures of a clip
_LEAD = 20  # pictures of the clip shown before and after a visit
_MARGIN = 6  # px of ground around what is cut out
_NOISE = 1.5  # grey levels, standard deviation

Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class NightScenes:
    """`visits`: one person each comes to the door and goes. `coat`: the garden with what looks like a person."""

    door: CodedFootage
    visits: tuple[CodedFootage, ...]
    garden: CodedFootage
    coat: CodedFootage
    coat_score: float
    party: CodedFootage


def night_scenes(shared: Path, detector: PersonDetector, *, party_s: float) -> NightScenes:
    """Made of one-by-one (door) and vtest (garden)."""
    video = shared / "media" / "video"
    still, *visits = _door(video / "one-by-one-person-detection.mp4", video / "gt" / "one-by-one_presence_machine.json")
    garden, truth = video / "vtest.avi", video / "gt" / "vtest_mot_gt.csv"
    spread = dict(_pictures(garden, every=_SPREAD))
    empty = np.median(np.stack(list(spread.values())), axis=0).astype(np.uint8)
    coat, score = _with_coat(empty, spread, truth, detector)
    party = [picture for _, picture in islice(_pictures(garden, every=2), round(party_s * FPS))]
    return NightScenes(
        door=still,
        visits=tuple(visits),
        garden=footage(_noisy(empty), fps=FPS, still=True),
        coat=footage(_noisy(coat), fps=FPS, still=True),
        coat_score=score,
        party=footage(party, fps=FPS),
    )


def _pictures(clip: Path, *, every: int) -> Iterator[tuple[int, Pixels]]:
    for index, image in enumerate(clip_pictures(clip, count=_MOST, every=every)):
        yield index * every, image.bgr()


def _door(clip: Path, truth: Path) -> Iterator[CodedFootage]:
    """The door with nobody, then each visit; coded while the clip is read, which is too long to be held in memory."""
    pictures = _pictures(clip, every=2)
    yield footage([picture for _, picture in islice(pictures, _STILL)], fps=FPS, still=True)
    for begin, end in _visits(truth):
        seen = takewhile(lambda one, end=end: one[0] < end + _LEAD, pictures)  # type: ignore[misc]
        yield footage([picture for number, picture in seen if number >= begin - _LEAD], fps=FPS)


def _visits(truth: Path) -> Iterator[tuple[int, int]]:
    """First and last picture with somebody; a gap of less than 2 s is none."""
    document = json.loads(truth.read_text())
    begin = end = None
    for first, last in document["segments"]:
        if end is not None and first - end < 2 * document["fps"]:
            end = last
            continue
        if begin is not None and end is not None:
            yield begin, end
        begin, end = first, last
    assert begin is not None
    assert end is not None
    yield begin, end


def _noisy(scene: Pixels) -> list[Pixels]:
    dice = np.random.default_rng(5)
    noise = (dice.normal(0.0, _NOISE, scene.shape) for _ in range(_STILL))
    return [np.clip(scene + one, 0, 255).astype(np.uint8) for one in noise]


def _with_coat(empty: Pixels, spread: dict[int, Pixels], truth: Path, detector: PersonDetector) -> tuple[Pixels, float]:
    """The scene with the person pasted, where they stood, of whom the model is surest; and its score."""
    tried = [_pasted(empty, spread[number], box) for number, box in _alone(truth, spread)]
    scored = [(score, scene) for scene in tried if len(scores := _scores(detector, scene)) == 1 for score in scores]
    score, scene = max(scored, key=lambda one: one[0])
    return scene, score


def _alone(truth: Path, numbers: Iterable[int]) -> Iterator[tuple[int, Rectangle]]:
    """(picture, box) of people whom nobody else is near, the tallest of each picture."""
    boxes: dict[int, list[Rectangle]] = defaultdict(list)
    for row in csv.DictReader(truth.read_text().splitlines()):
        x, y, w, h = (float(row[key]) for key in "xywh")
        boxes[int(row["frame0"])].append((round(x), round(y), round(x + w), round(y + h)))
    for number in numbers:
        alone = [box for box in boxes[number] if not any(_near(box, other) for other in boxes[number] if other != box)]
        if alone:
            yield number, max(alone, key=lambda box: box[3] - box[1])


def _near(box: Rectangle, other: Rectangle) -> bool:
    apart = 2 * _MARGIN
    return (
        box[0] - apart < other[2]
        and other[0] - apart < box[2]
        and box[1] - apart < other[3]
        and other[1] - apart < box[3]
    )


def _pasted(empty: Pixels, picture: Pixels, box: Rectangle) -> Pixels:
    height, width = empty.shape[:2]
    x1, y1 = max(0, box[0] - _MARGIN), max(0, box[1] - _MARGIN)
    x2, y2 = min(width, box[2] + _MARGIN), min(height, box[3] + _MARGIN)
    scene: Pixels = empty.copy()
    scene[y1:y2, x1:x2] = picture[y1:y2, x1:x2]
    return scene


def _scores(detector: PersonDetector, scene: Pixels) -> list[float]:
    frame = Frame(camera="garden", seq=0, captured_mono=0.0, captured_wall=0.0, image=ArrayImage(scene))
    return [float(score) for score in detector.detect(frame).scores]
