from __future__ import annotations

import math
import uuid
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from detector.analytics.rules import Rules
from detector.core.types import Track
from support.people import BOOT, GARDEN, HEIGHT, RuleWalk, camera, frame, person

HERE = person(0.5)
TINY = (500.0, 400.0, 502.0, 404.0)
EDGE_MASK = ((0.0, 0.8), (1.0, 0.8), (1.0, 1.0), (0.0, 1.0))


# Confirmation


def test_confirmed_after_min_frames_with_the_start_of_the_track() -> None:
    walk = RuleWalk(min_frames=3)
    walk.step((1, HERE))
    walk.step((1, HERE))
    assert walk.told == []
    outcome = walk.step((1, HERE))
    (change,) = outcome.changes
    assert change.type == "new"
    assert change.before == change.after
    assert change.after.start_wall == pytest.approx(BOOT)
    assert change.after.frame_wall == pytest.approx(BOOT + 0.2)
    assert change.after.end_wall is None
    assert (change.after.camera, change.after.track_id, change.after.frame_size) == ("porch", 1, (1000, 500))
    assert (outcome.people, outcome.present) == (1, frozenset({1}))


def test_min_frames_one_confirms_at_first_sight() -> None:
    walk = RuleWalk(min_frames=1)
    assert [change.type for change in walk.step((1, HERE)).changes] == ["new"]


def test_a_flicker_does_not_start_the_count_anew() -> None:
    walk = RuleWalk(min_frames=3)
    walk.step((1, HERE))
    walk.step(lost=[1])
    walk.step((1, HERE))
    walk.step(lost=[1])
    walk.step((1, HERE))
    assert walk.told == ["new"]


def test_rare_flashes_never_add_up() -> None:
    walk = RuleWalk(min_frames=3)
    for _ in range(20):
        walk.step((1, HERE))
        walk.step(lost=[1])
        walk.step(lost=[1])
    assert walk.told == []


@pytest.mark.parametrize(
    ("box", "score", "settings"),
    [
        (HERE, 0.49, {"min_score": 0.5}),
        (TINY, 0.9, {"min_area": 0.0005}),
        (HERE, 0.9, {"max_area": 0.01}),
        (HERE, 0.9, {"masks": [EDGE_MASK]}),
    ],
)
def test_what_does_not_qualify_leaves_no_trace(box: tuple[float, ...], score: float, settings: dict[str, Any]) -> None:
    walk = RuleWalk(**settings)
    walk.wait(2.0, (1, box, score))
    walk.wait(3.0)
    walk.close()
    assert (walk.told, walk.alerts) == ([], [])
    assert all(outcome.people == 0 for outcome in walk.outcomes)


def test_filter_bounds_are_inclusive() -> None:
    share = 0.5 * 0.5
    walk = RuleWalk(min_score=0.5, min_area=share, max_area=share + 1e-9, min_frames=1)
    walk.step((1, (0.0, 0.0, 500.0, 250.0), 0.5))
    assert walk.told == ["new"]


def test_a_person_who_walks_into_a_mask_stays_one_event() -> None:
    walk = RuleWalk(masks=[((0.6, 0.0), (1.0, 0.0), (1.0, 1.0), (0.6, 1.0))])
    for step in range(40):
        walk.step((1, person(0.3 + step * 0.01)))
    walk.wait(3.0)
    assert [kind for kind in walk.told if kind != "update"] == ["new", "end"]


def test_a_track_that_vanishes_unconfirmed_is_forgotten() -> None:
    walk = RuleWalk(min_frames=3)
    walk.step((1, HERE))
    walk.step((1, HERE))
    walk.step()
    walk.step((2, HERE))
    assert walk.told == []


def test_start_is_the_tracks_first_frame_though_it_was_no_person_then() -> None:
    walk = RuleWalk(min_frames=2)
    walk.wait(1.0, (1, HERE, 0.3))
    walk.wait(0.2, (1, HERE, 0.9))
    change = walk.outcomes[-1].changes[0]
    assert change.after.start_wall == pytest.approx(BOOT)


# End


def test_end_comes_when_the_tracker_gave_up_and_tells_the_last_sight() -> None:
    walk = RuleWalk()
    walk.wait(1.0, (1, HERE))
    walk.wait(1.0, lost=[1])
    assert walk.told == ["new"]
    assert walk.outcomes[-1].people == 1
    walk.wait(1.5)
    assert walk.told == ["new", "end"]
    end = next(change for outcome in walk.outcomes for change in outcome.changes if change.type == "end")
    assert end.after.end_wall == pytest.approx(BOOT + 0.9)
    assert end.before.end_wall is None
    assert walk.outcomes[-1].people == 0


def test_close_ends_all_open_events_once() -> None:
    walk = RuleWalk()
    walk.wait(1.0, (1, person(0.2)), (2, person(0.8)), (3, TINY))
    outcome = walk.close()
    assert [change.type for change in outcome.changes] == ["end", "end"]
    assert [change.after.end_wall for change in outcome.changes] == pytest.approx([BOOT + 0.9] * 2)
    assert outcome.people == 0
    assert walk.close().changes == ()


def test_close_before_the_first_frame() -> None:
    assert Rules(camera="porch", settings=camera(), device_id="yard").close().changes == ()


def test_rules_go_on_after_close() -> None:
    walk = RuleWalk(cooldown_s=0)
    walk.wait(1.0, (1, HERE))
    walk.close()
    walk.wait(1.0, (2, HERE))
    assert walk.told == ["new", "end", "new"]


def test_wall_clock_set_back_does_not_end_a_visit_before_it_began() -> None:
    walk = RuleWalk()
    walk.wait(1.0, (1, HERE))
    late = frame(20.0, wall=BOOT - 3600)
    (end,) = walk.rules.update(late, (), armed=True).changes
    assert end.after.end_wall == end.after.start_wall


# Updates


def test_standing_still_becomes_stationary_once_and_is_quiet() -> None:
    walk = RuleWalk()
    walk.wait(60.0, (1, HERE))
    assert walk.told == ["new", "update"]
    update = next(c for o in walk.outcomes for c in o.changes if c.type == "update")
    assert (update.before.stationary, update.after.stationary) == (False, True)
    assert len(walk.alerts) == 1


def test_walking_on_is_active_again() -> None:
    walk = RuleWalk()
    walk.wait(8.0, (1, HERE))
    walk.step((1, person(0.6)))
    change = walk.outcomes[-1].changes[0]
    assert (change.before.stationary, change.after.stationary) == (True, False)


def test_swaying_within_a_share_of_the_height_is_still() -> None:
    walk = RuleWalk()
    for step in range(100):
        walk.step((1, person(0.5 + 0.01 * math.sin(step))))
    assert walk.told == ["new", "update"]


def test_who_walks_is_told_every_few_seconds() -> None:
    walk = RuleWalk()
    for step in range(200):
        walk.step((1, person(0.1 + step * 0.004)))
    updates = [c.frame.captured_mono for o in walk.outcomes for c in o.changes if c.type == "update"]
    assert 2 <= len(updates) <= 4
    assert all(b - a >= 4.99 for a, b in pairwise(updates))


def test_a_better_score_is_told_noise_is_not() -> None:
    walk = RuleWalk()
    walk.wait(0.3, (1, HERE, 0.6))
    walk.step((1, HERE, 0.62))
    walk.step((1, HERE, 0.58))
    assert walk.told == ["new"]
    walk.step((1, HERE, 0.7))
    assert walk.told == ["new", "update"]
    change = walk.outcomes[-1].changes[0]
    assert (change.before.top_score, change.after.top_score, change.after.score) == (0.6, 0.7, 0.7)


def test_nothing_is_told_of_a_prediction() -> None:
    walk = RuleWalk()
    walk.wait(0.3, (1, HERE))
    walk.wait(10.0, lost=[1])
    assert walk.told == ["new"]


# Zones


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


# Alerts


def test_alert_speaks_of_the_very_frame_and_the_event() -> None:
    walk = RuleWalk()
    walk.wait(0.2, (1, HERE, 0.8))
    now = walk.frame()
    outcome = walk.step((1, HERE, 0.75))
    (alert,) = outcome.alerts
    (change,) = outcome.changes
    assert alert.frame.captured_mono == now.captured_mono
    assert (alert.event_id, alert.score, alert.box, alert.camera) == (change.after.id, 0.75, HERE, "porch")
    assert alert.confirmed_mono == now.captured_mono
    assert change.after.has_snapshot
    assert uuid.UUID(alert.id).version == 5


def test_alert_bears_the_time_of_confirmation_given() -> None:
    rules = Rules(camera="porch", settings=camera(min_frames=1), device_id="yard")
    track = Track(id=1, box=HERE, score=0.9, first_mono=5.0, last_mono=5.0, hits=1, matched=True)
    (alert,) = rules.update(frame(5.0), [track], armed=True, confirmed_mono=5.04).alerts
    assert alert.confirmed_mono == 5.04


def test_cooldown_holds_back_and_lets_go_while_the_person_is_there() -> None:
    walk = RuleWalk(cooldown_s=10)
    walk.wait(1.0, (1, person(0.2)))
    walk.wait(5.0, (1, person(0.2)), (2, person(0.8)))
    assert len(walk.alerts) == 1
    walk.wait(10.0, (1, person(0.2)), (2, person(0.8)))
    assert walk.alerts == walk.events
    first, second = (alert.frame.captured_mono for outcome in walk.outcomes for alert in outcome.alerts)
    assert 10.0 <= second - first < 10.2


def test_cooldown_that_outlasts_the_visit_leaves_it_without_alert() -> None:
    walk = RuleWalk(cooldown_s=30)
    walk.wait(1.0, (1, person(0.2)))
    walk.wait(3.0, (2, person(0.8)))
    walk.wait(60.0)
    assert (len(walk.events), len(walk.alerts)) == (2, 1)


def test_no_cooldown_alerts_for_each_even_in_one_frame() -> None:
    walk = RuleWalk(cooldown_s=0)
    walk.wait(1.0, (1, person(0.2)), (2, person(0.8)))
    assert len(walk.outcomes[2].alerts) == 2
    assert sorted(walk.alerts) == sorted(walk.events)


def test_with_cooldown_two_in_one_frame_alert_one_after_the_other() -> None:
    walk = RuleWalk(cooldown_s=5)
    walk.wait(12.0, (1, person(0.2)), (2, person(0.8)))
    assert walk.alerts == walk.events
    assert [len(outcome.alerts) for outcome in walk.outcomes if outcome.alerts] == [1, 1]


def test_disarmed_tells_events_without_alerts() -> None:
    walk = RuleWalk(cooldown_s=0)
    walk.armed = False
    walk.wait(2.0, (1, HERE))
    assert (walk.told, walk.alerts) == (["new"], [])
    assert walk.outcomes[2].changes[0].after.has_snapshot, "every visit has a picture, alert or not"


def test_an_intruder_who_waits_alerts_when_armed() -> None:
    walk = RuleWalk(cooldown_s=0)
    walk.armed = False
    walk.wait(20.0, (1, HERE))
    walk.armed = True
    walk.step((1, HERE))
    assert walk.alerts == walk.events
    walk.wait(20.0, (1, HERE))
    assert len(walk.alerts) == 1


def test_no_alert_for_a_person_who_does_not_qualify_now() -> None:
    walk = RuleWalk(cooldown_s=0)
    walk.armed = False
    walk.wait(1.0, (1, HERE))
    walk.armed = True
    walk.wait(1.0, (1, HERE, 0.3))
    walk.wait(0.5, lost=[1])
    assert walk.alerts == []
    walk.step((1, HERE, 0.6))
    assert len(walk.alerts) == 1
