"""Keeps the pictures that judge a model apart from those that calibrated it or chose its form.

A picture has one role. Which one follows from its content alone, so the same pictures are always divided the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.capture.pictures import read_picture
from detector.core.errors import UsageError
from detector.core.progress import Progress, quiet
from detector.core.types import Image

from .likeness import Likeness, Likenesses, distinct, likeness

CALIBRATE = 16
"""Different pictures at least, to take ranges from."""

JUDGE = 8
"""Different pictures at least, to judge by."""

_SHARE = 3  # one picture in so many goes to the smaller role


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """`calibration` are the pictures that may calibrate, `held` the indices of judging files that must not judge.

    `note` says in one line what was divided, with both counts; None where no picture was in both.
    """

    calibration: tuple[Image, ...]
    held: frozenset[int]
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Pictures without ground truth by role. `choose` is `calibrate` itself where there are too few for three roles."""

    calibrate: tuple[Image, ...]
    choose: tuple[Image, ...]
    judge: tuple[Image, ...]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """`kept` are the indices of the pictures that may calibrate or teach; else as Holdout."""

    kept: tuple[int, ...]
    held: frozenset[int]
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What the pictures beside the judging ones are for: their option, what they do, and how many that takes."""

    option: str = "--calibration"
    verb: str = "calibrate"
    least: int = CALIBRATE


def keep_apart(
    calibration: Sequence[Image],
    judging: Sequence[Path],
    *,
    calibrate: int = CALIBRATE,
    progress: Progress = quiet,
) -> Holdout:
    """Divides the pictures that are among both; raises UsageError where too few are left for a role.

    All that are in both judge, if enough others calibrate; else a third of them, or as many as `calibrate` needs,
    calibrate.
    """
    marks = [likeness(picture) for picture in calibration]
    found = part(marks, judging, purpose=Purpose(least=calibrate), progress=progress)
    return Holdout(calibration=tuple(calibration[index] for index in found.kept), held=found.held, note=found.note)


def part(marks: Sequence[Likeness], judging: Sequence[Path], *, purpose: Purpose, progress: Progress = quiet) -> Parted:
    """As `keep_apart`, of pictures that are known by their likeness."""
    known, shared = Likenesses(marks), dict[int, set[int]]()
    for number, path in enumerate(judging):
        if found := known.find(likeness(read_picture(path, as_stored=True))):
            shared[number] = found
        progress(number + 1, len(judging), "comparing pictures")
    if not shared:
        return Parted(kept=tuple(range(len(marks))), held=frozenset(), note=None)
    return _divided(marks, shared, len(judging), purpose)


def _divided(marks: Sequence[Likeness], shared: Mapping[int, set[int]], judging: int, purpose: Purpose) -> Parted:
    both = set().union(*shared.values())
    first = [index for index in distinct(marks) if index not in both]
    need = purpose.least - len(first)
    groups = _groups(shared)  # files that show the same picture go one way
    ordered = sorted(groups, key=lambda group: min(marks[index].sha256 for index in group))
    taken = [] if need <= 0 else ordered[: max(need, len(ordered) // _SHARE)]
    going = set().union(*taken) if taken else set[int]()
    held = frozenset(number for number, found in shared.items() if found & going)
    judges = judging - len(held)
    if len(taken) < need or judges < min(JUDGE, judging):
        raise UsageError(
            f"{purpose.option} and --images have {len(groups)} pictures in common: a picture may {purpose.verb} or judge, "
            f"not both, and at least {purpose.least} and {JUDGE} different ones are needed: "
            f"give {purpose.option} other pictures, of the same places on other days"
        )
    kept = tuple(index for index in range(len(marks)) if index not in both or index in going)
    note = (
        f"{len(groups)} pictures were in both {purpose.option} and --images: by their content "
        f"{len(kept)} pictures {purpose.verb} and {judges} others judge"
    )
    return Parted(kept=kept, held=held, note=note)


def _groups(shared: Mapping[int, set[int]]) -> list[set[int]]:
    """The calibration pictures that are in both, those joined that one judging file is the same as."""
    groups: list[set[int]] = []
    for found in shared.values():
        touching = [group for group in groups if group & found]
        groups = [group for group in groups if not group & found]
        groups.append(found.union(*touching))
    return groups


def roles(pictures: Sequence[Image], *, calibrate: int = CALIBRATE, option: str = "--calibration") -> Roles:
    """Divides pictures without ground truth: a third judges; of the rest a third chooses, if `calibrate` are left then.

    Raises UsageError for too few different pictures.
    """
    marks = [likeness(picture) for picture in pictures]
    order = sorted(distinct(marks), key=lambda index: marks[index].sha256)
    judge, rest = order[: max(JUDGE, len(order) // _SHARE)], order[max(JUDGE, len(order) // _SHARE) :]
    if len(rest) < calibrate:
        raise UsageError(
            f"{len(order)} different pictures are too few for {option}: {calibrate} calibrate and {JUDGE} others judge, "
            f"so give at least {calibrate + JUDGE}, or --images and --annotations to judge by"
        )
    choose, used = _parted(rest, calibrate)
    as_pictures = [tuple(pictures[index] for index in sorted(each)) for each in (used, choose, judge)]
    note = f"{len(used)} pictures calibrate, {len(judge)} others judge"
    return Roles(calibrate=as_pictures[0], choose=as_pictures[1], judge=as_pictures[2], note=note)


def chooser(pictures: Sequence[Image], *, calibrate: int = CALIBRATE) -> tuple[tuple[Image, ...], tuple[Image, ...]]:
    """The pictures that calibrate, and those that choose the form: others where enough are left, else the same."""
    marks = [likeness(picture) for picture in pictures]
    order = sorted(distinct(marks), key=lambda index: marks[index].sha256)
    choose, used = _parted(order, calibrate)
    return tuple(pictures[index] for index in sorted(used)), tuple(pictures[index] for index in sorted(choose))


def _parted(order: Sequence[int], calibrate: int) -> tuple[Sequence[int], Sequence[int]]:
    count = max(JUDGE, len(order) // _SHARE)
    return (order[:count], order[count:]) if len(order) - count >= calibrate else (order, order)
