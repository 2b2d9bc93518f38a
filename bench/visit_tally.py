"""What bench.visits counts in one scene: who was found and when, split and merged visits, visits of nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.analytics.assignment import pair
from detector.analytics.pipeline import PipelineOutcome
from detector.core.geometry import iou

from .visit_conditions import FPS
from .visit_parts import VisitScene
from .visit_scenes import visit_heights

_ON_PERSON = 0.3  # IoU: boxes of people 15 px tall are a pixel or two off
_OTHERWISE = 5  # frames on another person from which on a visit holds two people


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundVisit:
    """`found_after_s` is None where nobody was found."""

    height_px: float
    found_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneResult:
    """`false_visits` is None where not everybody is marked.

    `split`: events beyond the first of one person; `merged`: people beyond the first in one track. `model_s` is the time
    of the model's runs, `cpu_s` the processor's time of everything else in the pipeline.
    """

    config: str
    scene: str
    part: str
    condition: str
    visits: tuple[FoundVisit, ...]
    false_visits: int | None
    split: int
    merged: int
    media_s: float
    whole_runs: int
    window_runs: int
    model_s: float
    cpu_s: float


class VisitTally:
    """Which of a scene's people were found, and which tracks are nobody."""

    def __init__(self, scene: VisitScene) -> None:
        self._scene, self._truth = scene, scene.truth()
        self._first: dict[int, int] = {}
        self._ids: set[int] = set()
        self._together: Counter[tuple[int, int]] = Counter()  # frames by track and person
        self._opened: Counter[int] = Counter()  # events by person

    def add(self, number: int, outcome: PipelineOutcome) -> None:
        """Take what the pipeline found in frame `number`."""
        people, tracks = self._truth.get(number, []), [track for track in outcome.tracks if track.matched]
        self._ids.update(track.id for track in tracks)
        overlaps = iou(_table([box for _, box in people]), _table([track.box for track in tracks]))
        owners: dict[int, int] = {}
        for row, column in zip(
            *pair(overlaps, np.arange(len(people)), np.arange(len(tracks)), floor=_ON_PERSON), strict=True
        ):
            person, track = people[row][0], tracks[column].id
            owners[track] = person
            self._first.setdefault(person, number)
            self._together[track, person] += 1
        opened = [change.after.track_id for change in outcome.changes if change.type == "new"]
        self._opened.update(owners[track] for track in opened if track in owners)

    def visits(self) -> tuple[FoundVisit, ...]:
        return tuple(
            FoundVisit(height_px=round(height, 1), found_after_s=self._after(key, entered))
            for key, (entered, height) in visit_heights(self._scene).items()
        )

    def _after(self, key: int, entered: int) -> float | None:
        return round((self._first[key] - entered) / FPS, 1) if key in self._first else None

    @property
    def false_visits(self) -> int | None:
        return len(self._ids - {track for track, _ in self._together}) if self._scene.marked else None

    @property
    def split(self) -> int:
        return sum(count - 1 for count in self._opened.values())

    @property
    def merged(self) -> int:
        held = Counter(track for (track, _), frames in self._together.items() if frames >= _OTHERWISE)
        return sum(count - 1 for count in held.values())


def _table(boxes: Sequence[Sequence[float]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array(boxes, np.float64).reshape(-1, 4)
