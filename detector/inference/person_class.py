"""Which of a model's classes is the person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detector.core.errors import ModelError

from .model_metadata import PERSON_CLASS

KEY = "model.person_class"
_COCO = 80
_COCO_IDS, _COCO_IDS_AND_NOTHING = 91, 92  # DETR's classes are COCO's own category numbers: person is 1, 0 is unused
_NAMES = ("person", "pedestrian", "people", "human", "persons", "pedestrians", "humans", "human being", "human beings")


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonClass:
    """The class's `number`; `note` says what was assumed, where something was."""

    number: int
    note: str | None = None


def find_person(
    metadata: Mapping[str, str], names: Mapping[int, str] | None, classes: int | None, *, extra: int = 0, coco_ids: bool
) -> PersonClass:
    """By the config's or the metadata's word, else by name, else COCO's, else the only one; raises ModelError.

    `classes` is how many the outputs have, None where they do not tell; `extra` classes behind the named ones are
    allowed ("nothing"). `coco_ids`: unnamed 91 or 92 are COCO's category numbers.
    """
    if names is not None and classes is not None and classes not in (len(names), len(names) + extra):
        raise ModelError(f"this model names {len(names)} classes, but its output has {classes}")
    wanted = metadata.get(PERSON_CLASS)
    if wanted is not None:
        return PersonClass(number=_chosen(wanted.strip(), names, classes))
    if names is None:
        return _unnamed(classes, coco_ids=coco_ids)
    if len(names) == 1 and _plain(names[0]) not in _NAMES:
        return PersonClass(number=0, note=f"its one class, {names[0]!r}, is taken for person")
    return PersonClass(number=person_of(names))


def person_of(names: Mapping[int, str]) -> int:
    """The index of the class person by its name; raises ModelError where there is none."""
    for known in _NAMES:
        for index, name in names.items():
            if _plain(name) == known:
                return index
    raise ModelError(f"this model knows no persons: its classes are {_few(names)}; name the one that is: {KEY}: NAME")


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", " ").replace("-", " ")


def _unnamed(classes: int | None, *, coco_ids: bool) -> PersonClass:
    if coco_ids and classes in (_COCO_IDS, _COCO_IDS_AND_NOTHING):
        return PersonClass(number=1)
    if classes in (1, _COCO, None):
        return PersonClass(number=0)
    raise ModelError(
        f"this model has {classes} classes and no names for them: which is a person is unknown; "
        f"say it: {KEY}: NUMBER, counted from 0"
    )


def _chosen(wanted: str, names: Mapping[int, str] | None, classes: int | None) -> int:
    for index, name in (names or {}).items():
        if name.strip().lower() == wanted.lower():
            return index
    if wanted.isascii() and wanted.isdigit():
        count = classes if classes is not None else len(names) if names else None
        if count is None or int(wanted) < count:
            return int(wanted)
        raise ModelError(f"{KEY}: {wanted}: this model has {count} classes, numbered from 0")
    known = f"its classes are {_few(names)}" if names else "it names none: give the class's number"
    raise ModelError(f"{KEY}: {wanted}: this model has no such class; {known}")


def _few(names: Mapping[int, str]) -> str:
    return ", ".join(list(names.values())[:5]) + (", ..." if len(names) > 5 else "")
