"""Places of a camera's picture where something was taken for a person and never moved: a coat, a plant, a statue.

Each has raised its alert; what appears there again, at the same place and size, and does not move, raises none. What
moves is a person. Pure; times are epoch seconds, because places outlast a restart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from detector.core.types import Box

NEVER_MOVED = "same place, same size, never moved"
_LIMIT = 32  # places kept, the latest seen; a picture has a handful
_SAME = 0.5  # overlap (IoU) from which on two boxes are the same place and size
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A remembered place: `box` is normalised, x1, y1, x2, y2 in 0..1; `matches` counts the visits seen in it."""

    id: int
    box: Box
    first_seen: float
    last_seen: float
    matches: int
    reason: str

    @property
    def summary(self) -> str:
        """Why what is seen here raises no alert, in plain words."""
        return f"no alert: {self.reason}; visit {self.matches} in this place"


class KnownPlaces:
    """The remembered places of one camera; one that is not seen for `keep_days` is forgotten. 0: none are kept.

    `revision` changes with the places, so that they are saved only then.
    """

    def __init__(self, *, keep_days: float) -> None:
        self._keep_s = keep_days * _DAY_S
        self._places: dict[int, Place] = {}
        self._next_id = 1
        self.revision = 0

    @property
    def places(self) -> tuple[Place, ...]:
        return tuple(self._places.values())

    def match(self, box: Box, wall: float) -> Place | None:
        """The place of something unmoved at `box` (normalised), which counts as one more match; None: not known."""
        self._expire(wall)
        found = max(self._places.values(), key=lambda place: _overlap(place.box, box), default=None)
        if found is None or _overlap(found.box, box) < _SAME:
            return None
        return self._put(replace(found, last_seen=max(found.last_seen, wall), matches=found.matches + 1))

    def remember(self, box: Box, *, first_seen: float, last_seen: float, reason: str = NEVER_MOVED) -> Place | None:
        """Remember the place `box` (normalised); None if none are kept or the box has no area."""
        if not self._keep_s or _overlap(box, box) == 0.0:
            return None
        place = Place(id=self._next_id, box=box, first_seen=first_seen, last_seen=last_seen, matches=1, reason=reason)
        self._next_id += 1
        while len(self._places) >= _LIMIT:
            self._places.pop(min(self._places.values(), key=lambda old: (old.last_seen, old.id)).id)
        return self._put(place)

    def seen(self, place_id: int, wall: float) -> None:
        """The place was still occupied at `wall`."""
        place = self._places.get(place_id)
        if place is not None and wall > place.last_seen:
            self._put(replace(place, last_seen=wall))

    def forget(self, place_id: int) -> bool:
        """Forget a place; False if it is not known."""
        self.revision += place_id in self._places
        return self._places.pop(place_id, None) is not None

    def dump(self) -> list[dict[str, Any]]:
        """The places for `load`, JSON types only."""
        return [{**asdict(place), "box": list(place.box)} for place in self._places.values()]

    def load(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Continue with the places that `dump` gave. Raises KeyError, TypeError or ValueError for anything else."""
        places = [_loaded(document) for document in documents[-_LIMIT:]] if self._keep_s else []
        self._places = {place.id: place for place in places}
        self._next_id = max(self._places, default=0) + 1

    def _put(self, place: Place) -> Place:
        self._places[place.id] = place
        self.revision += 1
        return place

    def _expire(self, wall: float) -> None:
        for place in self.places:
            if wall - place.last_seen > self._keep_s:
                self.forget(place.id)


def _loaded(document: Mapping[str, Any]) -> Place:
    x1, y1, x2, y2 = (float(side) for side in document["box"])
    first, last = float(document["first_seen"]), float(document["last_seen"])
    if not all(map(math.isfinite, (x1, y1, x2, y2, first, last))):
        raise ValueError("not a place: its numbers must be finite")
    return Place(
        id=int(document["id"]),
        box=(x1, y1, x2, y2),
        first_seen=first,
        last_seen=last,
        matches=int(document["matches"]),
        reason=str(document["reason"]),
    )


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union; plain floats: arrays cost more for a handful of boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0.0 or height <= 0.0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
