from __future__ import annotations

import pytest

from support.people import GARDEN, RuleWalk, person
from support.rule_walks import raised

HERE = person(0.5)


def test_t4_only_who_stays_alerts_also_once_he_stands_still() -> None:
    """A passer of 4 s gives no alert, a loiterer of 25 s one."""
    walk = RuleWalk(loiter_s=15, zones={"garden": GARDEN}, alert_zones=["garden"])
    for step in range(40):
        walk.step((1, person(0.1 + step * 0.02)))
    walk.wait(10.0)
    assert (len(walk.events), walk.alerts) == (1, [])
    for step in range(50):
        walk.step((2, person(0.1 + step * 0.01)))
    walk.step_s = 1.0  # nothing moves: re-checks only
    walk.wait(20.0, (2, person(0.6)))
    assert walk.alerts == walk.events[1:]
    (alert,) = raised(walk)
    assert alert.frame.captured_mono == pytest.approx(14.0 + 0.2 + 15.0, abs=1.0)


def test_t4_time_outside_of_the_alert_zones_does_not_count() -> None:
    walk = RuleWalk(loiter_s=5, zones={"garden": GARDEN}, alert_zones=["garden"])
    for _ in range(5):
        walk.wait(3.0, (1, person(0.5, 0.7)))
        walk.wait(3.0, (1, person(0.5, 0.3)))
    assert walk.alerts == []


def test_t4_a_flicker_does_not_start_the_stay_again() -> None:
    walk = RuleWalk(loiter_s=5)
    walk.wait(3.0, (1, HERE))
    walk.wait(1.0)
    walk.wait(2.0, (2, HERE))
    assert len(walk.alerts) == 1


# Ids
