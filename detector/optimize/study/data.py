"""The pictures of a study: for calibration, and annotated sets for evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.capture.pictures import fingerprint, folder_pictures, read_picture
from detector.core.errors import ModelError, UsageError
from detector.core.types import Image
from detector.models.accuracy.average_precision import check_set
from detector.models.graph.quantize import MIN_PICTURES

_TIMED = 8
"""Pictures that speed is measured on: enough for a network whose time depends on what it sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSet:
    """Annotated pictures (COCO format); `digest` changes with the annotations and the pictures' sizes and names."""

    name: str
    images: Path
    annotations: Path
    files: tuple[Path, ...]
    digest: str

    def timed(self) -> list[Path]:
        """Some of them, spread evenly."""
        return list(self.files[:: max(1, len(self.files) // _TIMED)][:_TIMED])


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Pictures that INT8's ranges come from; `shared` of them are also judged by, which flatters INT8."""

    folder: Path
    pictures: Sequence[Image]
    digest: str
    shared: int


def evaluation_sets(images: Sequence[Path], annotations: Sequence[Path]) -> list[EvaluationSet]:
    """Folders and annotation files in pairs, checked before anything is run; raises DetectorError, UsageError."""
    if not images or len(images) != len(annotations):
        raise UsageError(
            f"{len(images)} --images and {len(annotations)} --annotations: each folder needs its annotations"
        )
    found = [_set(*pair) for pair in zip(images, annotations, strict=True)]
    names = [one.name for one in found]
    if len(set(names)) != len(names):
        raise UsageError(f"two sets of annotations are called {max(names, key=names.count)}: rename one")
    return found


def _set(images: Path, annotations: Path) -> EvaluationSet:
    files = [images / name for name in check_set(annotations, images)]
    marks = [(file.name, file.stat().st_size) for file in files]
    text = annotations.read_bytes() + repr(marks).encode()
    return EvaluationSet(
        name=annotations.stem,
        images=images.resolve(),
        annotations=annotations.resolve(),
        files=tuple(file.resolve() for file in files),
        digest=hashlib.sha256(text).hexdigest(),
    )


def calibration(folder: Path, sets: Sequence[EvaluationSet]) -> Calibration:
    """At most 32 of the folder's pictures; raises ModelError where too few are different."""
    pictures = list(folder_pictures(folder))
    marks = [fingerprint([picture]) for picture in pictures]
    if len(set(marks)) < MIN_PICTURES:
        raise ModelError(
            f"{len(pictures)} calibration pictures in {folder}, {len(set(marks))} of them different: at least "
            f"{MIN_PICTURES} different ones are needed, best of the places that the cameras will see"
        )
    judged = {fingerprint([read_picture(file, as_stored=True)]) for one in sets for file in one.files}
    return Calibration(
        folder=folder.resolve(),
        pictures=pictures,
        digest=hashlib.sha256("".join(marks).encode()).hexdigest(),
        shared=len(set(marks) & judged),
    )
