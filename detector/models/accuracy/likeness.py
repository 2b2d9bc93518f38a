"""Recognises the same picture under another name: byte for byte, saved again, scaled, turned or mirrored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.core.types import Image

_SIDE = 32  # cells each way: a person who has moved changes some, a JPEG's noise hardly any
_SCALED = 20.0  # grey levels of the most changed cell: scaling moves edges by half a pixel
_SCALED_MEAN = 2.0
_SAVED = 4.0  # saving again alone: of one camera's pictures even a distant person makes two


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """`sha256` of shape and pixels, hex; `cells` their brightness, float32 [32, 32], whatever the picture's size."""

    sha256: str
    cells: NDArray[np.float32]


def likeness(image: Image) -> Likeness:
    """What the picture is recognised by."""
    pixels = image.bgr()
    found = hashlib.sha256(repr(pixels.shape).encode())
    found.update(np.ascontiguousarray(pixels).tobytes())
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    cells = cv2.resize(grey.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return Likeness(found.hexdigest(), np.asarray(cells, np.float32))


class Likenesses:
    """A set of pictures to find a picture in."""

    def __init__(self, pictures: Sequence[Likeness]) -> None:
        self._by_hash: dict[str, list[int]] = {}
        for index, each in enumerate(pictures):
            self._by_hash.setdefault(each.sha256, []).append(index)
        self._cells = np.stack([each.cells for each in pictures]) if pictures else np.zeros((0, _SIDE, _SIDE))

    def find(self, picture: Likeness, *, scaled: bool = True) -> set[int]:
        """The indices of those that are the same picture; without `scaled` only saved again, turned or mirrored."""
        found = set(self._by_hash.get(picture.sha256, ()))
        for turned in _turned(picture.cells):
            furthest = np.abs(self._cells - turned).reshape(len(self._cells), -1)
            near = furthest.max(1, initial=0.0) <= (_SCALED if scaled else _SAVED)
            near &= furthest.mean(1) <= _SCALED_MEAN
            found |= set(np.flatnonzero(near).tolist())
        return found


def distinct(pictures: Sequence[Likeness]) -> list[int]:
    """The indices of the pictures that no earlier one is the same as."""
    known = Likenesses(pictures)
    return [index for index, each in enumerate(pictures) if min(known.find(each, scaled=False)) == index]


def _turned(cells: NDArray[np.float32]) -> list[Any]:
    return [np.rot90(each, turns) for each in (cells, cells[:, ::-1]) for turns in range(4)]
