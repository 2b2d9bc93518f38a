"""Why a box raises no alert, through the rules that decide."""

from __future__ import annotations

from typing import Any

import pytest

from support.people import GARDEN, RuleWalk, person

HERE = person(0.5)
AWAY = person(0.5, 0.3, height=0.2)


def reasons(walk: RuleWalk) -> list[tuple[bool, str]]:
    return [(box.alerted, box.reason) for box in walk.outcomes[-1].reasons]


@pytest.mark.parametrize(
    ("settings", "entry", "said"),
    [
        ({"min_score": 0.5}, (1, HERE, 0.42), "score 0.42, needs 0.50"),
        ({"min_area": 0.1}, (1, HERE), "too small: 3.2 % of the picture, needs 10 %"),
        ({"max_area": 0.01}, (1, HERE), "too large: 3.2 % of the picture, at most 1 %"),
        ({"masks": [GARDEN]}, (1, HERE), "in a mask"),
        ({"min_frames": 3}, (1, HERE), "1 of 3 frames"),
        ({"zones": {"garden": GARDEN}, "alert_zones": ("garden",), "min_frames": 1}, (1, AWAY), "outside garden"),
        ({"loiter_s": 10, "min_frames": 1}, (1, HERE), "there for 0 s of 10 s"),
    ],
)
def test_the_first_thing_that_is_missing_is_said_with_its_figures(
    settings: dict[str, Any], entry: tuple[object, ...], said: str
) -> None:
    walk = RuleWalk(**settings)
    walk.step(entry)
    assert reasons(walk) == [(False, said)]
    assert walk.alerts == []


def test_who_has_alerted_needs_no_reason_and_the_next_waits_for_the_cooldown() -> None:
    walk = RuleWalk(min_frames=1, cooldown_s=30)
    walk.step((1, HERE))
    walk.wait(17.9, (1, HERE))
    walk.step((1, HERE), (2, person(0.1)))
    assert reasons(walk) == [(True, ""), (False, "cooldown, 12 s left")]


def test_an_alarm_that_is_not_armed_and_a_place_where_nobody_is() -> None:
    walk = RuleWalk(min_frames=1)
    walk.armed = False
    walk.step((1, HERE))
    assert reasons(walk) == [(False, "the alarm is not armed for this camera")]
    event = walk.outcomes[-1].changes[0].after
    assert event.appearance is not None
    walk.rules.suppress(event.appearance, event_id=event.id, first_seen=event.start_wall, wall=event.start_wall)
    walk.step((1, HERE))
    ((alerted, reason),) = reasons(walk)
    assert (alerted, reason.startswith("suppressed: ")) == (False, True)


def test_the_history_keeps_the_furthest_that_a_visit_came() -> None:
    walk = RuleWalk(zones={"garden": GARDEN}, alert_zones=("garden",), loiter_s=5, min_frames=1)
    walk.wait(1.0, (1, AWAY))
    walk.wait(3.0, (1, HERE))
    walk.wait(1.0, (1, AWAY))
    walk.close()
    ended = walk.outcomes[-1].changes[-1].after
    assert ended.why == "there for 3 s of 5 s"
    feet = [round(point.box[3], 1) for point in ended.path]
    assert feet == [0.3] * 5 + [0.8] * 15 + [0.3] * (len(feet) - 20)
    assert len(feet) > 20


def test_a_visit_that_alerted_has_no_reason_in_the_history() -> None:
    walk = RuleWalk(min_frames=2)
    walk.wait(1.0, (1, HERE))
    walk.close()
    assert walk.alerts
    assert walk.outcomes[-1].changes[-1].after.why == ""
