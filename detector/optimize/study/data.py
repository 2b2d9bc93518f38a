"""The pictures of a study: for calibration, and annotated sets for evaluation."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.capture.pictures import COUNT, picture_files, read_picture
from detector.core.errors import ModelError, UsageError
from detector.core.progress import Progress, quiet
from detector.core.types import Image
from detector.models.accuracy.average_precision import check_set
from detector.models.accuracy.holdout import keep_apart
from detector.models.accuracy.likeness import likeness
from detector.models.graph.quantize import MIN_PICTURES

_TIMED = 8
"""Pictures that speed is measured on: enough for a network whose time depends on what it sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSet:
    """Annotated pictures (COCO format); `digest` changes with the annotations and the pictures' sizes and names.

    `files` are those that judge, called `names` in the annotations; `whole` says that these are all annotated ones.
    """

    name: str
    images: Path
    annotations: Path
    files: tuple[Path, ...]
    names: tuple[str, ...]
    digest: str
    whole: bool = True

    def timed(self) -> list[Path]:
        """Some of them, spread evenly."""
        return list(self.files[:: max(1, len(self.files) // _TIMED)][:_TIMED])


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Pictures that INT8's ranges come from, of the files `names` in `folder`; none of them judges.

    `note` says how pictures were divided that calibration and judging had in common.
    """

    folder: Path
    names: tuple[str, ...]
    pictures: Sequence[Image]
    digest: str
    note: str | None = None


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
    names = check_set(annotations, images)
    files = [images / name for name in names]
    marks = [(file.name, file.stat().st_size) for file in files]
    text = annotations.read_bytes() + repr(marks).encode()
    return EvaluationSet(
        name=annotations.stem,
        images=images.resolve(),
        annotations=annotations.resolve(),
        files=tuple(file.resolve() for file in files),
        names=tuple(names),
        digest=hashlib.sha256(text).hexdigest(),
    )


def calibration(folder: Path, *, names: Sequence[str] | None = None) -> Calibration:
    """At most 32 of the folder's pictures, or those called `names`; raises ModelError where too few are different."""
    files = picture_files(folder)
    files = files[:: -(-len(files) // COUNT)] if names is None else [folder / name for name in names]
    pictures = [read_picture(file) for file in files]
    different = len({likeness(picture).sha256 for picture in pictures})
    if different < MIN_PICTURES:
        raise ModelError(
            f"{len(pictures)} calibration pictures in {folder}, {different} of them different: at least "
            f"{MIN_PICTURES} different ones are needed, best of the places that the cameras will see"
        )
    return _calibration(folder, pictures, [file.name for file in files], None)


def divide(
    given: Calibration, sets: Sequence[EvaluationSet], progress: Progress = quiet
) -> tuple[Calibration, list[EvaluationSet]]:
    """No picture in both: the pictures that are left to calibrate with, and those of each set that are left to judge.

    Raises UsageError where too few are left for either.
    """
    used, notes, left = given.pictures, [], []
    for one in sets:  # what the first set leaves to calibrate with, the next may take from
        found = keep_apart(used, one.files, progress=progress)
        used = found.calibration
        notes += [f"{one.name}: {found.note}"] if found.note else []
        left.append(_without(one, found.held))
    kept = {id(picture) for picture in used}
    names = [name for name, picture in zip(given.names, given.pictures, strict=True) if id(picture) in kept]
    return _calibration(given.folder, used, names, "; ".join(notes) or None), left


def _without(one: EvaluationSet, held: frozenset[int]) -> EvaluationSet:
    """The set without those of its files."""
    if not held:
        return one
    left = [pair for number, pair in enumerate(zip(one.files, one.names, strict=True)) if number not in held]
    files, names = tuple(file for file, _ in left), tuple(name for _, name in left)
    digest = hashlib.sha256(f"{one.digest} {names}".encode()).hexdigest()
    return dataclasses.replace(one, files=files, names=names, whole=False, digest=digest)


def _calibration(folder: Path, pictures: Sequence[Image], names: Sequence[str], note: str | None) -> Calibration:
    marks = "".join(likeness(picture).sha256 for picture in pictures)
    digest = hashlib.sha256(marks.encode()).hexdigest()
    return Calibration(folder=folder.resolve(), names=tuple(names), pictures=pictures, digest=digest, note=note)
