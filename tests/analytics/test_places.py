from __future__ import annotations

import json
import math
from typing import Any

import pytest

from detector.analytics.places import KnownPlaces
from detector.core.types import Box

COAT: Box = (0.4, 0.2, 0.5, 0.6)
DAY = 86_400.0


def known(*, keep_days: float = 7.0) -> KnownPlaces:
    places = KnownPlaces(keep_days=keep_days)
    places.remember(COAT, first_seen=0.0, last_seen=6.0)
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
    assert (known().match(box, 100.0) is not None) is same


def test_matches_are_counted_and_dated_and_the_first_stays() -> None:
    places = known()
    for wall in (100.0, 300.0, 200.0):
        place = places.match(COAT, wall)
    assert place is not None
    assert (place.matches, place.first_seen, place.last_seen, place.reason) == (
        4,
        0.0,
        300.0,
        "same place, same size, never moved",
    )


def test_the_nearest_of_several_places_matches() -> None:
    places = known()
    other = places.remember((0.42, 0.2, 0.52, 0.6), first_seen=0.0, last_seen=0.0)
    found = places.match((0.425, 0.2, 0.525, 0.6), 1.0)
    assert other is not None
    assert found is not None
    assert found.id == other.id


def test_what_is_not_seen_for_so_many_days_is_forgotten() -> None:
    places = known(keep_days=2.0)
    assert places.match(COAT, 6.0 + 2 * DAY) is not None
    assert places.match(COAT, 6.0 + 4.1 * DAY) is None
    assert places.places == ()


def test_a_clock_that_was_set_back_forgets_nothing() -> None:
    assert known().match(COAT, -50 * 365 * DAY) is not None


def test_only_so_many_are_kept_those_seen_last() -> None:
    places = KnownPlaces(keep_days=7)
    for k in range(100):
        places.remember((k / 100, 0.0, (k + 1) / 100, 1.0), first_seen=0.0, last_seen=float(1000 - k))
        assert len(places.places) <= 32
    assert places.match((0.0, 0.0, 0.01, 1.0), 1000.0) is not None
    assert places.match((0.5, 0.0, 0.51, 1.0), 1000.0) is None


def test_none_are_kept_with_zero_days() -> None:
    places = known(keep_days=0)
    assert places.places == ()
    places.load(known().dump())
    assert places.match(COAT, 1.0) is None


def test_a_box_without_area_is_no_place() -> None:
    assert KnownPlaces(keep_days=7).remember((0.5, 0.5, 0.5, 0.5), first_seen=0.0, last_seen=0.0) is None


def test_forgotten_places_are_unknown_and_ids_are_not_used_again() -> None:
    places = known()
    (place,) = places.places
    assert places.forget(place.id)
    assert not places.forget(place.id)
    assert places.match(COAT, 1.0) is None
    again = places.remember(COAT, first_seen=0.0, last_seen=0.0)
    assert again is not None
    assert again.id != place.id


def test_the_revision_changes_with_the_places_alone() -> None:
    places = known()
    before = places.revision
    places.match((0.8, 0.2, 0.9, 0.6), 1.0)
    places.seen(1, 3.0)
    places.forget(99)
    assert places.revision == before
    places.seen(1, 50.0)
    assert places.revision != before


def test_a_dump_is_json_and_restores_everything() -> None:
    before, after = known(), KnownPlaces(keep_days=7)
    before.match(COAT, 77.0)
    after.load(json.loads(json.dumps(before.dump())))
    assert after.places == before.places
    later = after.remember((0.8, 0.2, 0.9, 0.6), first_seen=0.0, last_seen=0.0)
    assert later is not None
    assert later.id == 2


@pytest.mark.parametrize(
    "change", [{"box": [0, 1, 2]}, {"box": None}, {"last_seen": math.nan}, {"matches": "many"}, {"id": None}]
)
def test_a_damaged_dump_is_refused_and_changes_nothing(change: dict[str, Any]) -> None:
    places = known()
    with pytest.raises((TypeError, ValueError)):
        places.load([{**places.dump()[0], **change}])
    assert len(places.places) == 1
