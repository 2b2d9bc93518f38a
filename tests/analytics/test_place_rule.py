from __future__ import annotations

import pytest

from detector.analytics.look import LENGTH
from detector.analytics.place_rule import PlaceRule
from detector.analytics.places import KnownPlaces, Place
from detector.analytics.visit import Sighting, Visit
from detector.core.types import Appearance, Box, Track
from support.people import HEIGHT, WIDTH, person

HERE = person(0.5)
PLAIN = bytes(LENGTH)


class StandingVisit:
    """One visit under the rule, ten frames a second from `start` on, epoch s."""

    def __init__(self, rule: PlaceRule, *, start: float, alerts: int = 0) -> None:
        self.rule, self.t = rule, start
        self.visit = Visit(track=track(HERE, start), min_frames=3, since=start)
        self.visit.id, self.visit.start_wall, self.visit.alerts = f"event-{start:.0f}", start, alerts

    def stay(self, seconds: float, box: Box = HERE) -> None:
        for _ in range(round(seconds * 10)):
            sighting = Sighting(track=track(box, self.t), mono=self.t, size=(WIDTH, HEIGHT), qualifies=True, zones={})
            self.visit.observe(sighting)
            self.rule.observe(self.visit, normalised(box), self.t, lambda: PLAIN)
            self.t += 0.1

    def end(self) -> None:
        self.rule.end(self.visit, normalised(self.visit.last_box), self.visit.last_mono)


def held_place(visit: Visit) -> Place | None:
    return visit.place


def track(box: Box, t: float) -> Track:
    return Track(id=1, box=box, score=0.9, first_mono=t, last_mono=t, hits=1, matched=True)


def normalised(box: Box) -> Box:
    return box[0] / WIDTH, box[1] / HEIGHT, box[2] / WIDTH, box[3] / HEIGHT


@pytest.mark.parametrize(("seconds", "alerts", "learnt"), [(1.2, 1, 1), (0.8, 1, 0), (20.0, 0, 0), (20.0, 1, 1)])
def test_a_place_is_learnt_from_a_visit_that_alerted_and_stayed(seconds: float, alerts: int, learnt: int) -> None:
    places = KnownPlaces(keep_days=7)
    standing = StandingVisit(PlaceRule(places), start=100.0, alerts=alerts)
    standing.stay(seconds)
    standing.end()
    assert len(places.places) == learnt
    if learnt:
        assert (places.places[0].first_seen, places.places[0].matches) == (100.0, 1)


def test_a_later_visit_is_held_until_it_moves_and_the_place_stays() -> None:
    places = KnownPlaces(keep_days=7)
    rule = PlaceRule(places)
    first = StandingVisit(rule, start=0.0, alerts=1)
    first.stay(6.0)
    first.end()
    later = StandingVisit(rule, start=100.0)
    later.stay(3.0)
    held = later.visit.place
    assert held is not None
    assert (held.reason, held.matches) == ("same place, same size, never moved", 2)
    later.stay(1.0, person(0.6))
    assert held_place(later.visit) is None
    later.end()
    assert [place.last_seen for place in places.places] == [100.0]


def test_the_end_of_a_held_visit_dates_the_place() -> None:
    places = KnownPlaces(keep_days=7)
    rule = PlaceRule(places)
    first = StandingVisit(rule, start=0.0, alerts=1)
    first.stay(6.0)
    first.end()
    later = StandingVisit(rule, start=100.0)
    later.stay(50.0)
    later.end()
    assert places.places[0].last_seen == pytest.approx(149.9)


def test_a_place_that_others_have_confirmed_outlives_the_move_of_the_visit_that_made_it() -> None:
    places = KnownPlaces(keep_days=7)
    rule = PlaceRule(places)
    first = StandingVisit(rule, start=0.0, alerts=1)
    first.stay(6.0)
    places.match(normalised(HERE), 6.0, look=lambda: PLAIN, event_id="other")
    first.stay(1.0, person(0.7))
    assert len(places.places) == 1


def asked_for(rule: PlaceRule, *, open_visit: Visit | None = None) -> None:
    rule.suppress(
        Appearance(box=normalised(HERE), look=PLAIN),
        event_id="event-0",
        first_seen=0.0,
        wall=0.0,
        open_visit=open_visit,
    )


def test_something_that_wavers_in_its_place_is_held_and_what_goes_is_not() -> None:
    rule = PlaceRule(KnownPlaces(keep_days=7))
    asked_for(rule)
    later = StandingVisit(rule, start=100.0)
    later.stay(1.0)
    later.stay(3.0, (*person(0.5)[:3], 310.0))  # its lower third is hidden: it has `left` for the learnt ones
    assert later.visit.left
    assert held_place(later.visit) is not None
    later.stay(0.3, person(0.8))
    assert held_place(later.visit) is None


def test_two_outlying_boxes_are_no_move() -> None:
    rule = PlaceRule(KnownPlaces(keep_days=7))
    asked_for(rule)
    later = StandingVisit(rule, start=100.0)
    later.stay(1.0)
    later.stay(0.2, person(0.8))
    later.stay(1.0)
    assert held_place(later.visit) is not None


def test_a_visit_that_is_still_open_is_held_at_once_wherever_it_is() -> None:
    rule = PlaceRule(KnownPlaces(keep_days=7))
    now = StandingVisit(rule, start=0.0, alerts=1)
    now.stay(1.0)
    now.stay(1.0, person(0.9))
    asked_for(rule, open_visit=now.visit)
    now.stay(2.0, person(0.9))
    assert held_place(now.visit) is not None


def test_undone_while_it_is_held_it_is_held_no_more() -> None:
    places = KnownPlaces(keep_days=7)
    rule = PlaceRule(places)
    asked_for(rule)
    later = StandingVisit(rule, start=100.0)
    later.stay(1.0)
    assert held_place(later.visit) is not None
    places.forget("event-0")
    later.stay(0.1)
    assert held_place(later.visit) is None
