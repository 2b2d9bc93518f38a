"""Labels without annotations: several larger models look at a picture, and what most of them agree on is a person."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detector.core.errors import ModelError
from detector.core.geometry import iou
from detector.core.progress import Progress
from detector.core.types import ArrayImage, Floats
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.inference.input_sizes import best_input_size
from detector.models.graph.variants import prepare
from detector.models.registry import Registry, Resolved

_SAME = 0.5  # IoU from which two boxes are of one person
SEES = 0.3
"""The score from which a teacher's box has a vote: alone it may be wrong, together they seldom are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureLabels:
    """Boxes float32 [M,4] x1,y1,x2,y2, source px: `persons` that most teachers see, `unsure` that fewer do."""

    persons: Floats
    unsure: Floats

    def to_json(self) -> dict[str, Any]:
        return {"persons": self.persons.tolist(), "unsure": self.unsure.tolist()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> PictureLabels:
        """What `to_json` gave."""
        return cls(persons=_boxes(document["persons"]), unsure=_boxes(document["unsure"]))


def fused(found: Sequence[tuple[Floats, Floats]]) -> PictureLabels:
    """The boxes of all teachers (boxes [N,4], scores [N] each) as one label: of each person the mean box by score.

    A person is what more than half of the teachers see; each teacher has one vote a person.
    """
    boxes = np.concatenate([each[0][each[1] >= SEES] for each in found]).astype(np.float32).reshape(-1, 4)
    scores = np.concatenate([each[1][each[1] >= SEES] for each in found])
    who = np.concatenate([np.full(int((each[1] >= SEES).sum()), number) for number, each in enumerate(found)])
    persons, unsure, free = list[Floats](), list[Floats](), np.ones(len(boxes), bool)
    for leader in np.argsort(-scores, kind="stable"):
        if not free[leader]:
            continue
        overlap = np.where(free, iou(boxes[leader : leader + 1], boxes)[0], 0.0)
        members = [int(leader)]
        for teacher in set(who.tolist()) - {int(who[leader])}:
            own = np.where(who == teacher, overlap, 0.0)
            if own.max() >= _SAME:
                members.append(int(own.argmax()))
        free[members] = False
        mean = np.average(boxes[members], axis=0, weights=scores[members]).astype(np.float32)
        (persons if 2 * len(members) > len(found) else unsure).append(mean)
    return PictureLabels(persons=_boxes(persons), unsure=_boxes(unsure))


class TeacherPanel:
    """The models `names` (registry names or files), loaded for pictures like `shown`; raises ModelError.

    Each looks at its full input size, cut to the aspect of the pictures.
    """

    def __init__(
        self, registry: Registry, names: Sequence[str], shown: ArrayImage, *, threads: int, report: Progress
    ) -> None:
        if len(names) < 2:
            raise ModelError(f"{len(names)} teacher cannot agree with another: name at least 2 with --teacher")
        self.names = tuple(names)
        self._detectors: list[PersonDetector] = []
        try:
            for name in names:
                self._detectors.append(_loaded(registry.resolve(name, report), shown, threads, report))
        except BaseException:
            self.close()
            raise

    def label(self, picture: ArrayImage) -> PictureLabels:
        """What they see together."""
        return fused([detector.detect_image(picture)[:2] for detector in self._detectors])

    def seconds(self, picture: ArrayImage) -> float:
        """How long they look at one picture."""
        self.label(picture)
        begun = time.monotonic()
        self.label(picture)
        return time.monotonic() - begun

    def close(self) -> None:
        """Frees the models."""
        while self._detectors:
            self._detectors.pop().close()


def _loaded(found: Resolved, shown: ArrayImage, threads: int, report: Progress) -> PersonDetector:
    path = found.path
    if found.entry is not None:
        size = best_input_size((found.entry.input.width, found.entry.input.height), shown.width, shown.height)
        path = prepare(found.path, shape=size, spec=found.spec, progress=report)
    return load_detector(
        path=path, name=found.name, spec=found.spec, backend="onnxruntime", threads=threads, score_floor=SEES
    )


def _boxes(rows: Any) -> Floats:
    return np.asarray(rows, np.float32).reshape(-1, 4)
