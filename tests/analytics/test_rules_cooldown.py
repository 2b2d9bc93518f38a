from __future__ import annotations

from itertools import pairwise

import pytest

from detector.core.types import SinceLast
from support.people import GARDEN, RuleWalk, person
from support.rule_walks import TWO_ZONES, a_then_b, raised

HERE = person(0.5)
TINY = (500.0, 400.0, 502.0, 404.0)
EDGE_MASK = ((0.0, 0.8), (1.0, 0.8), (1.0, 1.0), (0.0, 1.0))


def test_t2_the_next_alert_says_who_came_during_the_cooldown() -> None:
    walk = a_then_b()
    assert walk.alerts == walk.events[:1]
    walk.wait(2.0, (3, person(0.4)))
    first, second = raised(walk)
    assert first.since_last == SinceLast()
    assert second.since_last == SinceLast(people=1, events=(walk.events[1],))
    walk.wait(40.0)
    walk.wait(2.0, (4, person(0.1)))
    assert raised(walk)[-1].since_last == SinceLast(), "said once"


def test_t2_who_waits_for_the_cooldown_to_end_is_not_named_in_his_own_alert() -> None:
    walk = RuleWalk(cooldown_s=5)
    walk.wait(12.0, (1, person(0.2)), (2, person(0.5)), (3, person(0.8)))
    _, second, third = raised(walk)
    assert second.since_last == SinceLast(people=1, events=(third.event_id,))
    assert third.since_last == SinceLast()


def test_t2_only_who_would_have_alerted_is_counted() -> None:
    walk = RuleWalk(cooldown_s=30, zones={"garden": GARDEN}, alert_zones=["garden"])
    walk.wait(2.0, (1, person(0.2)))
    walk.wait(2.0, (2, person(0.8, 0.4)))
    walk.armed = False
    walk.wait(2.0, (3, person(0.8)))
    walk.wait(30.0)
    walk.armed = True
    walk.wait(2.0, (4, person(0.2)))
    assert raised(walk)[-1].since_last == SinceLast()


def test_t2_a_cooldown_for_each_zone_lets_the_second_person_alert() -> None:
    walk = a_then_b(cooldown={"per": "zone"})
    assert walk.alerts == walk.events
    assert [alert.zones for alert in raised(walk)] == [("street",), ("yard",)]
    walk = RuleWalk(cooldown_s=30, cooldown={"per": "zone"}, **TWO_ZONES)
    walk.wait(2.0, (1, person(0.2)))
    walk.wait(4.0)
    walk.wait(2.0, (2, person(0.3)))
    assert len(walk.alerts) == 1, "the same zone"


def test_t2_a_cooldown_for_each_person_lets_everybody_alert_once() -> None:
    walk = RuleWalk(cooldown_s=30, cooldown={"per": "person"})
    walk.wait(60.0, (1, person(0.2)), (2, person(0.8)))
    assert sorted(walk.alerts) == sorted(walk.events)
    assert raised(walk)[-1].since_last == SinceLast()


def test_t2_many_held_back_are_counted_and_the_latest_named() -> None:
    walk = RuleWalk(cooldown_s=1000, min_frames=1)
    walk.step((1, person(0.5)))
    for number in range(2, 40):
        walk.wait(3.0)
        walk.step((number, person(0.5)))
    walk.wait(1000.0 - walk.t)
    walk.step((40, person(0.5)))
    since = raised(walk)[-1].since_last
    assert (since.people, since.events) == (38, tuple(walk.events[-21:-1]))


def test_reminders_while_somebody_stays_are_off_unless_configured() -> None:
    for repeat_s, times in ((0, [0.2]), (60, [0.2, 60.2, 120.2])):
        walk = RuleWalk(repeat_s=repeat_s)
        walk.wait(150.0, (1, HERE))
        walk.wait(100.0)
        alerts = raised(walk)
        assert [alert.frame.captured_mono for alert in alerts] == pytest.approx(times)
        assert [alert.repeat for alert in alerts] == list(range(len(times)))
        assert len({alert.id for alert in alerts}) == len(times)
        assert len({alert.event_id for alert in alerts}) == 1


def test_reminders_keep_the_cooldown_and_never_hold_back_a_first_alert() -> None:
    walk = RuleWalk(cooldown_s=10, repeat_s=5)
    walk.wait(35.0, (1, person(0.2)), (2, person(0.8)))
    alerts = raised(walk)
    assert [alert.repeat for alert in alerts] == [0, 0, 1, 1]
    assert all(b.frame.captured_mono - a.frame.captured_mono >= 10 for a, b in pairwise(alerts))


# Known places: what alerted once and never moves
