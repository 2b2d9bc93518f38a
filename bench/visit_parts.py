"""What a scene of bench.visits is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from detector.core.types import Pixels
from support.trackscore import Identified

Part = Literal["choose", "judge"]
Truth = dict[int, Identified]
FULL, LARGE, SMALL = (1920, 1080), (1280, 720), (480, 270)
"""Pictures' sizes: width, height px."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitScene:
    """`truth` gives the people of each frame (from 0) by identity, boxes px; `marked`: everybody in it is among them."""

    name: str
    part: Part
    condition: str
    pictures: Callable[[], Iterator[Pixels]]
    truth: Callable[[], Truth]
    marked: bool
