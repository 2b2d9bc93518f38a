"""Suppressions: places of a camera's picture where something is taken for a person. One list, from two origins.

Learnt: what raised its alert there and never moved (a coat, a plant). Asked for: a user said of a visit that nobody is
there; what is there must also look as it did then. What moves away is a person.
Pure; times are epoch seconds, because places outlast a restart.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from detector.core.types import Appearance, Box, Suppressed

from .look import LENGTH, SAME_LOOK, similarity

NEVER_MOVED = "same place, same size, never moved"
NOBODY = "marked as nobody: same place, same size, same look"
PROPOSED_AFTER = 4
"""Visits in a learnt place, three gaps between them, after which a suppression for long is proposed."""
_LIMIT = 32  # places kept of each origin, the latest seen; a picture has a handful
_LOOKS = 4  # of one place: by day, by night, ...; the newest are kept
_SAME = 0.5  # overlap (IoU) from which on two boxes are the same place and size
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A remembered place: `box` is normalised, x1, y1, x2, y2 in 0..1; `matches` counts the visits seen in it.

    `id` is that of the visit that it was made of, `event_id` that of the latest one. `looks` (see `look`): what is there
    must have one of them; none: any. `asked`: a user asked for it.
    """

    id: str
    box: Box
    first_seen: float
    last_seen: float
    matches: int
    reason: str
    event_id: str = ""
    asked: bool = False
    looks: tuple[bytes, ...] = ()

    @property
    def proposed(self) -> bool:
        """Whether it has been seen so often that a user should say what it is."""
        return not self.asked and self.matches >= PROPOSED_AFTER

    @property
    def suppressed(self) -> Suppressed:
        """Why what is seen here raises no alert."""
        return Suppressed(
            id=self.id,
            reason=self.reason,
            since=self.first_seen,
            matches=self.matches,
            asked=self.asked,
            proposed=self.proposed,
        )

    def covers(self, box: Box) -> bool:
        """Whether something at `box` may still be what was asked for, wavering."""
        return _overlap(self.box, box) >= _SAME

    def looks_like(self, look: bytes) -> bool:
        return not self.looks or any(similarity(known, look) >= SAME_LOOK for known in self.looks)


class KnownPlaces:
    """The remembered places of one camera. One that is not seen is forgotten: after `keep_days` where it was learnt
    (0: none are), after `asked_days` where it was asked for.

    `revision` changes with the places, so that they are saved only then.
    """

    def __init__(self, *, keep_days: float, asked_days: float = 30.0) -> None:
        self._keep_s, self._asked_s = keep_days * _DAY_S, asked_days * _DAY_S
        self._places: dict[str, Place] = {}
        self.revision = 0

    @property
    def places(self) -> tuple[Place, ...]:
        return tuple(self._places.values())

    def get(self, place_id: str) -> Place | None:
        return self._places.get(place_id)

    def match(self, box: Box, wall: float, *, look: Callable[[], bytes], event_id: str) -> Place | None:
        """The place of something unmoved at `box` (normalised) that looks so, which counts as one more match.

        None: not known. `look` is called where a place asks for it.
        """
        self._expire(wall)
        for found in self._at(box):
            if not found.looks or found.looks_like(look()):
                last = max(found.last_seen, wall)
                return self._put(replace(found, last_seen=last, matches=found.matches + 1, event_id=event_id))
        return None

    def remember(self, box: Box, *, event_id: str, first_seen: float, last_seen: float, look: bytes) -> Place | None:
        """Learn the place `box` (normalised) of something unmoved; None if none are kept or the box has no area.

        In a place that was asked for it is the same thing, in another light: its look is added.
        """
        if _overlap(box, box) == 0.0:
            return None
        for place in self._at(box):
            if place.asked:
                return self._put(_with_look(replace(place, last_seen=last_seen, event_id=event_id), look))
        if not self._keep_s:
            return None
        return self._add(
            Place(
                id=event_id, box=box, first_seen=first_seen, last_seen=last_seen, matches=1, reason=NEVER_MOVED,
                event_id=event_id,
            )
        )  # fmt: skip

    def ask(self, seen: Appearance, *, event_id: str, first_seen: float, wall: float) -> Place:
        """A user says that nobody is where the visit was seen; a place that is known there is the one meant.

        Raises ValueError for a box without an area.
        """
        if _overlap(seen.box, seen.box) == 0.0:
            raise ValueError("the visit's box has no area")
        known = next(iter(self._at(seen.box)), None)
        place = known or Place(
            id=event_id, box=seen.box, first_seen=first_seen, last_seen=wall, matches=1, reason=NOBODY
        )
        place = replace(
            place, asked=True, reason=NOBODY, last_seen=max(place.last_seen, wall), event_id=event_id, box=seen.box
        )
        place = _with_look(place, seen.look) if seen.look else place
        return self._put(place) if known else self._add(place)

    def seen(self, place_id: str, wall: float) -> None:
        """The place was still occupied at `wall`."""
        place = self._places.get(place_id)
        if place is not None and wall > place.last_seen:
            self._put(replace(place, last_seen=wall))

    def forget(self, place_id: str) -> bool:
        """Forget a place; False if it is not known."""
        self.revision += place_id in self._places
        return self._places.pop(place_id, None) is not None

    def dump(self) -> list[dict[str, Any]]:
        """The places for `load`, JSON types only."""
        return [
            {
                **asdict(place),
                "box": list(place.box),
                "looks": [base64.b64encode(look).decode("ascii") for look in place.looks],
            }
            for place in self._places.values()
        ]

    def load(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Continue with the places that `dump` gave. Raises KeyError, TypeError or ValueError for anything else."""
        places = [_loaded(document) for document in documents[-2 * _LIMIT :]]
        self._places = {place.id: place for place in places if place.asked or self._keep_s}

    def _at(self, box: Box) -> Iterator[Place]:
        """The places that are the same as `box`, the most alike first."""
        near = [(_overlap(place.box, box), place) for place in self._places.values()]
        for overlap, place in sorted(near, key=lambda entry: -entry[0]):
            if overlap >= _SAME:
                yield place

    def _add(self, place: Place) -> Place:
        alike = [old for old in self._places.values() if old.asked == place.asked]
        if len(alike) >= _LIMIT:
            del self._places[min(alike, key=lambda old: (old.last_seen, old.id)).id]
        return self._put(place)

    def _put(self, place: Place) -> Place:
        self._places[place.id] = place
        self.revision += 1
        return place

    def _expire(self, wall: float) -> None:
        for place in self.places:
            if wall - place.last_seen > (self._asked_s if place.asked else self._keep_s):
                self.forget(place.id)


def _with_look(place: Place, look: bytes) -> Place:
    if place.looks and place.looks_like(look):
        return place
    return replace(place, looks=(*place.looks, look)[-_LOOKS:])


def _loaded(document: Mapping[str, Any]) -> Place:
    x1, y1, x2, y2 = (float(side) for side in document["box"])
    first, last = float(document["first_seen"]), float(document["last_seen"])
    if not all(map(math.isfinite, (x1, y1, x2, y2, first, last))):
        raise ValueError("not a place: its numbers must be finite")
    looks = tuple(base64.b64decode(text, validate=True) for text in document.get("looks", ()))
    if any(len(look) != LENGTH for look in looks):
        raise ValueError("not a place: a look has another length")
    if not isinstance(document["id"], str | int):
        raise TypeError("not a place: its id is no text")
    return Place(
        id=str(document["id"]),  # a number in files of before places were named after visits
        box=(x1, y1, x2, y2),
        first_seen=first,
        last_seen=last,
        matches=int(document["matches"]),
        reason=str(document["reason"]),
        event_id=str(document.get("event_id", "")),
        asked=bool(document.get("asked", False)),
        looks=looks,
    )


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union; plain floats: arrays cost more for a handful of boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0.0 or height <= 0.0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
