"""How each precision's file is made: one line in `MAKERS` adds a form to the grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.graph.prepare import prepare
from detector.inference.shapes import Shape
from detector.inference.spec import InputSpec
from detector.types import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """`path` is to become a file for `shape`, of persons alone or not; `pictures` are to calibrate on."""

    path: Path
    shape: Shape
    person_only: bool
    pictures: Sequence[Image]
    spec: InputSpec | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """`make` gives the file, from the cache where it is there already; raises ModelError."""

    make: Callable[[Making], Path]
    calibrated: bool


def _plain(making: Making) -> Path:
    return prepare(making.path, shape=making.shape, person_only=making.person_only, spec=making.spec)


def _int8(making: Making) -> Path:
    return prepare(
        making.path,
        shape=making.shape,
        person_only=making.person_only,
        precision="int8",
        pictures=making.pictures,
        spec=making.spec,
    )


def _int8_mixed(making: Making) -> Path:
    return prepare(
        making.path,
        shape=making.shape,
        person_only=making.person_only,
        precision="int8-mixed",
        pictures=making.pictures,
        spec=making.spec,
    )


MAKERS: dict[str, Maker] = {
    "fp32": Maker(make=_plain, calibrated=False),
    "int8": Maker(make=_int8, calibrated=True),
    "int8-mixed": Maker(make=_int8_mixed, calibrated=True),
}
