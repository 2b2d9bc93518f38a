"""The rule about suppressions: which visits raise no alert because nobody is there. Pure."""

from __future__ import annotations

from collections.abc import Callable

from detector.core.types import Appearance, Box

from .places import KnownPlaces, Place
from .visit import Visit

_MIN_S = 1.0  # a visit that lasts this long and never moved is a still thing: who walks has left by then


class PlaceRule:
    """Learns places from visits that alerted and never moved, and holds back the alerts of later ones there.

    Boxes are normalised, times epoch seconds; `look` describes the visit's box in the frame at hand.
    """

    def __init__(self, places: KnownPlaces) -> None:
        self._places = places

    def observe(self, visit: Visit, box: Box, wall: float, look: Callable[[], bytes]) -> None:
        """Take a confirmed visit in one more frame."""
        if visit.place is not None:
            visit.place = self._places.get(visit.place.id)  # None: the suppression was undone
        if visit.place is not None and visit.place.asked:
            self._watch(visit, visit.place, box, look)
        elif visit.left:
            self._release(visit)
        elif visit.alerts:
            if visit.stationary:
                self._learn(visit, box, wall, look)
        elif visit.place is None:
            visit.place = self._places.match(box, wall, look=look, event_id=visit.id)

    def end(self, visit: Visit, box: Box, wall: float) -> None:
        """The visit is over; it was last seen at `box`, at `wall`."""
        if visit.left and not (visit.place is not None and visit.place.asked):
            return
        if visit.place is not None:
            self._places.seen(visit.place.id, wall)
        # Who walks fast past a camera with few detections a second is gone before it is certain that they moved.
        elif visit.alerts and wall - visit.start_wall >= _MIN_S and not visit.is_away:
            appearance = visit.appearance
            self._learn(visit, box, wall, lambda: appearance.look if appearance else b"")

    def suppress(
        self, seen: Appearance, *, event_id: str, first_seen: float, wall: float, open_visit: Visit | None
    ) -> Place:
        """A user says that nobody is where the visit `event_id` was seen; one that is still open alerts no more."""
        place = self._places.ask(seen, event_id=event_id, first_seen=first_seen, wall=wall)
        if open_visit is not None:
            open_visit.place, open_visit.dismissed = place, True
        return place

    def _watch(self, visit: Visit, place: Place, box: Box, look: Callable[[], bytes]) -> None:
        """Something in a place that was asked for may waver, as a plant in the wind does, while it looks the same.

        What goes, or moves and looks otherwise, is a person.
        """
        wavers = bool(place.looks) and place.covers(box) and place.looks_like(look())
        if visit.left and not visit.dismissed and not wavers:
            visit.place = None

    def _learn(self, visit: Visit, box: Box, wall: float, look: Callable[[], bytes]) -> None:
        if visit.learnt_id is None:
            place = self._places.remember(
                box, event_id=visit.id, first_seen=visit.start_wall, last_seen=wall, look=look()
            )
            visit.learnt_id = place.id if place else None
        else:
            self._places.seen(visit.learnt_id, wall)

    def _release(self, visit: Visit) -> None:
        """The visit has moved: it is a person, and what was learnt from standing there first is wrong."""
        if visit.learnt_id is not None:
            learnt = self._places.get(visit.learnt_id)
            if learnt is not None and learnt.matches == 1 and not learnt.asked:
                self._places.forget(visit.learnt_id)
            visit.learnt_id = None
        visit.place = None
