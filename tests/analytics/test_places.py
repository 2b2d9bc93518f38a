from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from detector.analytics.look import LENGTH, describe
from detector.analytics.places import NEVER_MOVED, NOBODY, PROPOSED_AFTER, KnownPlaces, Place
from detector.core.types import Appearance, Box

PLAIN = bytes(LENGTH)
COAT: Box = (0.4, 0.2, 0.5, 0.6)
DAY = 86_400.0


def known(*, keep_days: float = 7.0) -> KnownPlaces:
    places = KnownPlaces(keep_days=keep_days)
    learn(places, COAT, last_seen=6.0)
    return places


def learn(places: KnownPlaces, box: Box, *, event_id: str = "first", last_seen: float = 0.0) -> Place | None:
    return places.remember(box, event_id=event_id, first_seen=0.0, last_seen=last_seen, look=PLAIN)


def match(places: KnownPlaces, box: Box, wall: float, *, look: bytes = PLAIN) -> Place | None:
    return places.match(box, wall, look=lambda: look, event_id="later")


def look_of(seed: int) -> bytes:
    return describe(np.random.default_rng(seed).integers(0, 255, (64, 32), np.uint8), (0.0, 0.0, 32.0, 64.0))


def asked(*, asked_days: float = 30.0, look: bytes | None = None) -> KnownPlaces:
    places = KnownPlaces(keep_days=7, asked_days=asked_days)
    places.ask(Appearance(box=COAT, look=look_of(1) if look is None else look), event_id="x", first_seen=0.0, wall=9.0)
    return places


@pytest.mark.parametrize(
    ("box", "same"),
    [
        ((0.41, 0.21, 0.51, 0.61), True),
        ((0.4, 0.2, 0.5, 0.5), True),
        ((0.4, 0.2, 0.5, 0.39), False),
        ((0.46, 0.2, 0.56, 0.6), False),
        ((0.35, 0.0, 0.55, 0.8), False),
        ((0.8, 0.2, 0.9, 0.6), False),
    ],
)
def test_a_place_is_known_by_position_and_size(box: Box, same: bool) -> None:
    assert (match(known(), box, 100.0) is not None) is same


def test_matches_are_counted_and_dated_and_the_first_stays() -> None:
    places = known()
    for wall in (100.0, 300.0, 200.0):
        place = match(places, COAT, wall)
    assert place is not None
    assert (place.matches, place.first_seen, place.last_seen, place.reason) == (
        4,
        0.0,
        300.0,
        "same place, same size, never moved",
    )


def test_the_nearest_of_several_places_matches() -> None:
    places = known()
    other = learn(places, (0.42, 0.2, 0.52, 0.6), event_id="other")
    found = match(places, (0.425, 0.2, 0.525, 0.6), 1.0)
    assert other is not None
    assert found is not None
    assert found.id == other.id


def test_what_is_not_seen_for_so_many_days_is_forgotten() -> None:
    places = known(keep_days=2.0)
    assert match(places, COAT, 6.0 + 2 * DAY) is not None
    assert match(places, COAT, 6.0 + 4.1 * DAY) is None
    assert places.places == ()


def test_a_clock_that_was_set_back_forgets_nothing() -> None:
    assert match(known(), COAT, -50 * 365 * DAY) is not None


def test_only_so_many_are_kept_those_seen_last() -> None:
    places = KnownPlaces(keep_days=7)
    for k in range(100):
        learn(places, (k / 100, 0.0, (k + 1) / 100, 1.0), event_id=str(k), last_seen=float(1000 - k))
        assert len(places.places) <= 32
    assert match(places, (0.0, 0.0, 0.01, 1.0), 1000.0) is not None
    assert match(places, (0.5, 0.0, 0.51, 1.0), 1000.0) is None


def test_none_are_kept_with_zero_days() -> None:
    places = known(keep_days=0)
    assert places.places == ()
    places.load(known().dump())
    assert match(places, COAT, 1.0) is None


def test_a_box_without_area_is_no_place() -> None:
    assert learn(KnownPlaces(keep_days=7), (0.5, 0.5, 0.5, 0.5)) is None


def test_forgotten_places_are_unknown() -> None:
    places = known()
    assert places.forget("first")
    assert not places.forget("first")
    assert match(places, COAT, 1.0) is None


def test_the_revision_changes_with_the_places_alone() -> None:
    places = known()
    before = places.revision
    match(places, (0.8, 0.2, 0.9, 0.6), 1.0)
    places.seen("first", 3.0)
    places.forget("unknown")
    assert places.revision == before
    places.seen("first", 50.0)
    assert places.revision != before


def test_a_dump_is_json_and_restores_everything() -> None:
    before, after = known(), KnownPlaces(keep_days=7)
    match(before, COAT, 77.0)
    after.load(json.loads(json.dumps(before.dump())))
    assert after.places == before.places


def test_a_dump_of_before_places_were_named_after_visits_is_read() -> None:
    places = KnownPlaces(keep_days=7)
    document = {"id": 3, "box": list(COAT), "first_seen": 0.0, "last_seen": 6.0, "matches": 2, "reason": NEVER_MOVED}
    places.load([document])
    assert [(place.id, place.matches, place.asked, place.looks) for place in places.places] == [("3", 2, False, ())]


@pytest.mark.parametrize(
    "change",
    [
        {"box": [0, 1, 2]},
        {"box": None},
        {"last_seen": math.nan},
        {"matches": "many"},
        {"id": None},
        {"looks": ["AAAA"]},
        {"looks": ["?"]},
        {"looks": [7]},
    ],
)
def test_a_damaged_dump_is_refused_and_changes_nothing(change: dict[str, Any]) -> None:
    places = known()
    with pytest.raises((TypeError, ValueError)):
        places.load([{**places.dump()[0], **change}])
    assert len(places.places) == 1


def test_what_was_asked_for_must_look_alike_too() -> None:
    places = asked()
    assert match(places, COAT, 10.0, look=look_of(2)) is None
    found = match(places, COAT, 11.0, look=look_of(1))
    assert found is not None
    assert (found.id, found.reason, found.asked, found.matches, found.event_id) == ("x", NOBODY, True, 2, "later")


def test_without_a_look_the_place_alone_counts() -> None:
    assert match(asked(look=b""), COAT, 10.0, look=look_of(2)) is not None


def test_what_was_asked_for_outlasts_what_was_learnt_and_expires_too() -> None:
    places = asked(asked_days=30.0)
    learn(places, (0.8, 0.2, 0.9, 0.6), last_seen=9.0)
    match(places, (0.0, 0.0, 0.1, 0.1), 9.0 + 29.9 * DAY)
    assert [place.id for place in places.places] == ["x"]
    match(places, (0.0, 0.0, 0.1, 0.1), 9.0 + 30.1 * DAY)
    assert places.places == ()


def test_it_is_asked_for_where_learning_is_off_and_survives_a_dump() -> None:
    places = KnownPlaces(keep_days=0)
    places.ask(Appearance(box=COAT, look=look_of(1)), event_id="x", first_seen=0.0, wall=9.0)
    after = KnownPlaces(keep_days=0)
    after.load(json.loads(json.dumps(places.dump())))
    assert after.places == places.places
    assert after.places[0].looks == (look_of(1),)


def test_asking_for_a_learnt_place_confirms_it() -> None:
    places = known()
    for wall in (10.0, 20.0, 30.0):
        place = match(places, COAT, wall)
    assert place is not None
    assert place.matches == PROPOSED_AFTER
    assert place.proposed
    place = places.ask(Appearance(box=COAT, look=look_of(1)), event_id="again", first_seen=30.0, wall=40.0)
    assert places.places == (place,)
    assert (place.id, place.asked, place.proposed, place.matches, place.first_seen) == ("first", True, False, 4, 0.0)


def test_asking_twice_makes_one_suppression() -> None:
    places = asked()
    places.ask(Appearance(box=COAT, look=look_of(1)), event_id="x", first_seen=0.0, wall=9.0)
    assert [(place.id, place.looks) for place in places.places] == [("x", (look_of(1),))]


def test_what_stood_there_in_another_light_adds_its_look() -> None:
    places = asked()
    for seed in range(2, 8):
        assert match(places, COAT, 10.0, look=look_of(seed)) is None
        places.remember(COAT, event_id=str(seed), first_seen=10.0, last_seen=12.0, look=look_of(seed))
        assert match(places, COAT, 13.0, look=look_of(seed)) is not None
    assert len(places.places) == 1
    assert len(places.places[0].looks) == 4


def test_learnt_places_displace_nothing_that_was_asked_for() -> None:
    places = asked()
    for k in range(100):
        learn(places, (k / 100, 0.7, (k + 1) / 100, 1.0), event_id=str(k), last_seen=float(1000 + k))
    assert len(places.places) == 33
    for k in range(100):
        box = (k / 100, 0.7, (k + 1) / 100, 1.0)
        places.ask(Appearance(box=box, look=b""), event_id=f"a{k}", first_seen=0.0, wall=float(k))
    assert len(places.places) <= 64


def test_a_box_without_area_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="no area"):
        asked().ask(Appearance(box=(0.5, 0.5, 0.5, 0.6), look=b""), event_id="y", first_seen=0.0, wall=0.0)
