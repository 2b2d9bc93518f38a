from __future__ import annotations

import pytest

from detector.analytics.place_rule import PlaceRule
from detector.analytics.places import KnownPlaces, Place
from detector.analytics.visit import Sighting, Visit
from detector.core.types import Box, Track
from support.people import HEIGHT, WIDTH, person

HERE = person(0.5)


class Standing:
    """One visit under the rule, ten frames a second from `start` on, epoch s."""

    def __init__(self, rule: PlaceRule, *, start: float, alerts: int = 0) -> None:
        self.rule, self.t = rule, start
        self.visit = Visit(track=track(HERE, start), min_frames=3, since=start)
        self.visit.id, self.visit.start_wall, self.visit.alerts = "event", start, alerts

    def stay(self, seconds: float, box: Box = HERE) -> None:
        for _ in range(round(seconds * 10)):
            sighting = Sighting(track=track(box, self.t), mono=self.t, size=(WIDTH, HEIGHT), qualifies=True, zones={})
            self.visit.observe(sighting)
            self.rule.observe(self.visit, normalised(box), self.t)
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
    standing = Standing(PlaceRule(places), start=100.0, alerts=alerts)
    standing.stay(seconds)
    standing.end()
    assert len(places.places) == learnt
    if learnt:
        assert (places.places[0].first_seen, places.places[0].matches) == (100.0, 1)


def test_a_later_visit_is_held_until_it_moves_and_the_place_stays() -> None:
    places = KnownPlaces(keep_days=7)
    rule = PlaceRule(places)
    first = Standing(rule, start=0.0, alerts=1)
    first.stay(6.0)
    first.end()
    later = Standing(rule, start=100.0)
    later.stay(3.0)
    held = later.visit.place
    assert held is not None
    assert held.summary == "no alert: same place, same size, never moved; visit 2 in this place"
    later.stay(1.0, person(0.6))
    assert held_place(later.visit) is None
    later.end()
    assert [place.last_seen for place in places.places] == [100.0]


def test_the_end_of_a_held_visit_dates_the_place() -> None:
    places = KnownPlaces(keep_days=7)
    rule = PlaceRule(places)
    first = Standing(rule, start=0.0, alerts=1)
    first.stay(6.0)
    first.end()
    later = Standing(rule, start=100.0)
    later.stay(50.0)
    later.end()
    assert places.places[0].last_seen == pytest.approx(149.9)


def test_a_place_that_others_have_confirmed_outlives_the_move_of_the_visit_that_made_it() -> None:
    places = KnownPlaces(keep_days=7)
    rule = PlaceRule(places)
    first = Standing(rule, start=0.0, alerts=1)
    first.stay(6.0)
    places.match(normalised(HERE), 6.0)
    first.stay(1.0, person(0.7))
    assert len(places.places) == 1
