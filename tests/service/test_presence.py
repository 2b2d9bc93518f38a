from __future__ import annotations

from typing import Any

import pytest

from detector.config.arming import Person, Presence
from detector.service.presence import SETTLE_S, PresenceTracker, meaning

LATER = SETTLE_S + 1


def tracker(*names: str, **settings: Any) -> PresenceTracker:
    people = PresenceTracker(
        Presence(topics={name: Person(topic=f"phones/{name}") for name in names or ("alice",)}, **settings)
    )
    people.connected(0.0)
    return people


@pytest.mark.parametrize(
    ("payload", "away", "where"),
    [
        ("home", "not_home", "home"),
        (" home\n", "not_home", "home"),
        ("not_home", "not_home", "away"),
        ("Home", "not_home", None),
        ("Work", "not_home", None),
        ("Work", "*", "away"),
        ("unavailable", "*", None),
        ("unknown", "*", None),
        ("None", "*", None),
        ("", "*", None),
    ],
)
def test_what_a_payload_means(payload: str, away: str, where: str | None) -> None:
    assert meaning(Person(topic="t", away=away), payload) == where


def test_an_arrival_that_is_observed_counts() -> None:
    people = tracker()
    people.observe("alice", "away", retained=False, now=LATER)
    assert people.overall(LATER) == "away"
    arrival = people.observe("alice", "home", retained=False, now=LATER + 1)
    assert arrival is not None
    assert arrival.confirmed
    assert people.overall(LATER + 1) == "home"


@pytest.mark.parametrize(
    ("before", "retained", "now", "why"),
    [
        ("away", True, LATER, "retained"),
        ("away", False, SETTLE_S - 1, "just connected: what is sent again"),
        (None, False, LATER, "the first word: no change"),
    ],
)
def test_anything_else_does_not(before: Any, retained: bool, now: float, why: str) -> None:
    people = tracker()
    if before is not None:
        people.observe("alice", before, retained=True, now=0.5)
    overall = people.overall(now)
    arrival = people.observe("alice", "home", retained=retained, now=now)
    assert arrival is not None, why
    assert not arrival.confirmed, why
    assert people.overall(now) == overall, why


def test_without_a_connection_nothing_is_observed() -> None:
    people = PresenceTracker(Presence(topics={"alice": Person(topic="t")}))
    people.observe("alice", "away", retained=False, now=50.0)
    arrival = people.observe("alice", "home", retained=False, now=60.0)
    assert arrival is not None
    assert not arrival.confirmed


def test_who_was_only_said_to_be_home_is_confirmed_by_a_hand_or_by_leaving_and_coming() -> None:
    people = tracker()
    people.observe("alice", "home", retained=True, now=1.0)
    assert people.overall(LATER) is None
    people.confirm()
    assert people.overall(LATER) == "home"
    people.observe("alice", "away", retained=True, now=LATER)
    people.observe("alice", "home", retained=True, now=LATER)
    assert people.overall(LATER) == "home", "as it was: neither armed nor disarmed by it"
    people.observe("alice", "away", retained=False, now=LATER)
    people.observe("alice", "home", retained=False, now=LATER)
    assert people.people["alice"].confirmed


def test_all_must_be_gone_and_one_is_enough_to_be_home() -> None:
    people = tracker("alice", "bob")
    people.observe("alice", "away", retained=False, now=LATER)
    assert people.overall(LATER) is None, "of bob nothing is known"
    people.observe("bob", "away", retained=True, now=LATER)
    assert people.overall(LATER) == "away"
    people.observe("bob", "home", retained=False, now=LATER)
    assert people.overall(LATER) == "home"


def test_a_phone_that_drops_out_for_a_moment_is_not_away() -> None:
    people = tracker(away_after_s=300)
    people.observe("alice", "away", retained=False, now=LATER)
    assert people.overall(LATER + 299) is None
    assert people.overall(LATER + 300) == "away"


def test_a_restart_keeps_all_and_confirms_nothing() -> None:
    people = tracker("alice", "bob")
    people.observe("alice", "away", retained=False, now=LATER)
    people.observe("alice", "home", retained=False, now=LATER)
    people.observe("bob", "home", retained=True, now=LATER)
    people.overall(LATER)
    again = tracker("alice", "bob", "carol")
    again.load(people.dump(), 0.0)
    assert {name: (p.where, p.confirmed) for name, p in again.people.items()} == {
        "alice": ("home", True),
        "bob": ("home", False),
        "carol": (None, False),
    }
    assert again.overall(0.0) == "home"


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"people": [], "overall": None},
        {"people": {"alice": {"where": "moon"}}, "overall": None},
        {"people": {}, "overall": "moon"},
    ],
)
def test_what_it_did_not_write_is_refused(saved: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        tracker().load(saved, 0.0)


def test_nobody_configured_is_not_nobody_at_home() -> None:
    people = PresenceTracker(Presence())
    assert people.overall(0.0) is None
    people.load({"people": {}, "overall": "away"}, 0.0)
    assert people.overall(0.0) is None, "the last phone was taken out of the configuration"
