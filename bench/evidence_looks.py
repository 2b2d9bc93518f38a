"""The looks that bench.evidence counts: at each track of a scene, with whether it is a person; and what rules make of them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from detector.analytics.crops import detect_in_crops
from detector.analytics.evidence import Circumstances, EvidenceLook, TrackEvidence
from detector.analytics.evidence_curves import HEIGHTS, SCORES, EvidenceCurves
from detector.analytics.pipeline import CameraPipeline
from detector.capture.clip import due_frames
from detector.config.schema import Camera
from detector.core.geometry import iou
from detector.core.types import Box, Track
from detector.inference.multi_size import AnyDetector

from .visit_parts import VisitScene
from .visits import ScenePictures

_ON_PERSON = 0.3  # IoU, as in bench.visits
_CAMERA = {"source": "clip.mp4", "alert": {"cooldown_s": 0, "confirm": "evidence"}}
_USUAL = Camera.model_validate({"source": "clip.mp4"}).alert


@dataclass(frozen=True, eq=False)
class TrackLooks:
    """A track's looks in order; `person` None: nobody knows, since not everybody is marked. `size` of the picture, px."""

    person: bool | None
    size: tuple[int, int]
    looks: tuple[EvidenceLook, ...]

    def document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, document: dict[str, Any]) -> TrackLooks:
        looks = tuple(EvidenceLook(**{**look, "box": tuple(look["box"])}) for look in document["looks"])
        return cls(person=document["person"], size=(document["size"][0], document["size"][1]), looks=looks)


def record(scene: VisitScene, detector: AnyDetector) -> list[TrackLooks]:
    """All looks of a scene: nothing is ever confirmed, so every track is undecided to its end."""
    nothing = [[[0, 0]] * len(SCORES)] * len(HEIGHTS)
    curves = EvidenceCurves(bright=nothing, dark=nothing, bar=math.inf)
    camera = Camera.model_validate(_CAMERA)
    pipeline = CameraPipeline(name="camera", settings=camera, device_id="bench", curves=curves)
    truth, looks, on_person = scene.truth(), defaultdict[int, list[EvidenceLook]](list), Counter[int]()
    size = (1, 1)
    pictures = ScenePictures(scene.pictures())
    for frame in due_frames("camera", camera.detect_fps, pictures, None, factor=lambda: pipeline.rate_factor):
        size = frame.image.width, frame.image.height
        if not pipeline.should_detect(frame):
            continue
        found = detector.detect(frame)
        crops = pipeline.plan_crops(found, detector.input_size)
        found = detect_in_crops(found, crops, detector.detect_many)
        people = [box for _, box in truth.get(frame.seq, [])]
        for look in pipeline.process(found, armed_as=None).looks:
            looks[look.track_id].append(look)
            on_person[look.track_id] += look.score > 0.0 and _lies_on(look.box, people)
    return [
        TrackLooks(person=_person(seen, on_person[key], marked=scene.marked), size=size, looks=tuple(seen))
        for key, seen in looks.items()
    ]


def _lies_on(box: Box, people: Sequence[Box]) -> bool:
    return bool((iou(np.array([box]), np.array(people, np.float64).reshape(-1, 4)) >= _ON_PERSON).any())


def _person(looks: Sequence[EvidenceLook], on_person: int, *, marked: bool) -> bool | None:
    if 2 * on_person >= sum(look.score > 0.0 for look in looks):
        return True
    return False if marked and not on_person else None


def confirmed_by_frames(track: TrackLooks) -> bool:
    """Whether `min_frames` of twice as many looks in a row, the last one too, have `min_score`."""
    good = [look.score >= _USUAL.min_score for look in track.looks]
    return any(
        good[end] and sum(good[max(0, end + 1 - 2 * _USUAL.min_frames) : end + 1]) >= _USUAL.min_frames
        for end in range(len(good))
    )


def highest_sums(tracks: Sequence[TrackLooks], curves: EvidenceCurves) -> dict[TrackLooks, float]:
    """The highest sum of each of a scene's tracks while it was seen, until the bar was reached."""
    evidence, decided = TrackEvidence(curves), set[int]()
    frames: dict[float, list[tuple[TrackLooks, EvidenceLook]]] = defaultdict(list)
    for track in tracks:
        for look in track.looks:
            frames[look.mono].append((track, look))
    highest = dict.fromkeys(tracks, -math.inf)
    for mono, seen in sorted(frames.items()):
        (first, look), owners = seen[0], {look.track_id: track for track, look in seen}
        now = Circumstances(mono=mono, size=first.size, scale=_scale(look), dark=look.dark)
        for look in evidence.update([_track(look) for _, look in seen], now, decided=decided):
            if look.score > 0.0:
                highest[owners[look.track_id]] = max(highest[owners[look.track_id]], look.total)
            if look.score > 0.0 and look.certain:
                decided.add(look.track_id)
    return highest


def _scale(look: EvidenceLook) -> float:
    return round(look.height / max(look.box[3] - look.box[1], 1e-9), 6)


def _track(look: EvidenceLook) -> Track:
    return Track(
        id=look.track_id,
        box=look.box,
        score=look.score,
        first_mono=look.mono,
        last_mono=look.mono,
        hits=1,
        matched=look.score > 0.0,
    )
