"""Zones under the rules: the foot point, hysteresis at their edges, and which alerts they allow."""

from __future__ import annotations

import numpy as np
import pytest

from support.people import GARDEN, HEIGHT, RuleWalk, person


def test_zone_is_the_foot_points_with_inertia_and_order_of_entry() -> None:
    left = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]
    right = [[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]
    walk = RuleWalk(min_frames=2, zones={"right": right, "left": left})
    walk.wait(0.2, (1, person(0.3)))
    assert walk.outcomes[-1].changes[0].after.current_zones == ("left",)
    walk.step((1, person(0.6)))
    assert not walk.outcomes[-1].changes, "left as late as entered"
    walk.step((1, person(0.6)))
    (change,) = walk.outcomes[-1].changes
    assert change.type == "update"
    assert (change.after.current_zones, change.after.entered_zones) == (("right",), ("left", "right"))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("drift", [-0.5, 0.0, 0.5])
def test_t3_a_box_that_jitters_on_a_zones_edge_gives_few_updates(seed: int, drift: float) -> None:
    """A minute at 10 frames a second, feet 1 px above or below the zone's edge."""
    random = np.random.default_rng(seed)
    walk = RuleWalk(zones={"garden": GARDEN})
    for _ in range(600):
        jitter = drift + random.choice([-1.0, 1.0]) * random.random()
        walk.step((1, person(0.5, 0.5 + jitter / HEIGHT)))
    assert walk.told.count("update") <= 4


def test_t3_no_alert_of_somebody_who_is_just_leaving_the_zone() -> None:
    walk = RuleWalk(zones={"garden": GARDEN}, alert_zones=["garden"])
    walk.armed = False
    walk.wait(1.0, (1, person(0.5, 0.6)))
    walk.armed = True
    walk.step((1, person(0.5, 0.3)))
    assert walk.outcomes[-1].changes == ()
    walk.wait(1.0, (1, person(0.5, 0.3)))
    assert walk.alerts == []


def test_foot_on_the_zones_edge_counts() -> None:
    walk = RuleWalk(zones={"garden": GARDEN}, alert_zones=["garden"])
    walk.wait(1.0, (1, person(0.5, 0.5)))
    assert len(walk.alerts) == 1


def test_head_in_the_zone_is_not_in_the_zone() -> None:
    walk = RuleWalk(zones={"garden": GARDEN}, alert_zones=["garden"])
    walk.wait(5.0, (1, person(0.5, 0.49)))
    assert (walk.told[0], walk.alerts) == ("new", [])


def test_alert_waits_for_the_zone() -> None:
    walk = RuleWalk(zones={"garden": GARDEN}, alert_zones=["garden"])
    walk.wait(3.0, (1, person(0.5, 0.45)))
    walk.wait(0.2, (1, person(0.5, 0.55)))
    assert walk.alerts == []
    walk.wait(0.2, (1, person(0.5, 0.55)))
    (alert,) = (alert for outcome in walk.outcomes for alert in outcome.alerts)
    assert alert.zones == ("garden",)
