"""The rule about known places: which visits raise no alert because they are a known still thing. Pure."""

from __future__ import annotations

from detector.core.types import Box

from .places import KnownPlaces
from .visit import Visit

_MIN_S = 1.0  # a visit that lasts this long and never moved is a still thing: who walks has left by then


class PlaceRule:
    """Learns places from visits that alerted and never moved, and holds back the alerts of later ones there.

    Boxes are normalised, times epoch seconds.
    """

    def __init__(self, places: KnownPlaces) -> None:
        self._places = places

    def observe(self, visit: Visit, box: Box, wall: float) -> None:
        """Take a confirmed visit in one more frame."""
        if visit.left:
            self._release(visit)
        elif visit.alerts:
            if visit.stationary:
                self._learn(visit, box, wall)
        elif visit.place is None:
            visit.place = self._places.match(box, wall)

    def end(self, visit: Visit, box: Box, wall: float) -> None:
        """The visit is over; it was last seen at `box`, at `wall`."""
        if visit.left:
            return
        if visit.place is not None:
            self._places.seen(visit.place.id, wall)
        elif visit.alerts and wall - visit.start_wall >= _MIN_S:
            self._learn(visit, box, wall)

    def _learn(self, visit: Visit, box: Box, wall: float) -> None:
        if visit.learnt_id is None:
            place = self._places.remember(box, first_seen=visit.start_wall, last_seen=wall)
            visit.learnt_id = place.id if place else None
        else:
            self._places.seen(visit.learnt_id, wall)

    def _release(self, visit: Visit) -> None:
        """The visit has moved: it is a person, and what was learnt from standing there first is wrong."""
        if visit.learnt_id is not None:
            if all(place.matches == 1 for place in self._places.places if place.id == visit.learnt_id):
                self._places.forget(visit.learnt_id)
            visit.learnt_id = None
        visit.place = None
