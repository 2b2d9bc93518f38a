from __future__ import annotations

import re
from dataclasses import replace

from detector.analytics.rules import alert_id, event_id
from support.people import BOOT, RuleWalk, frame, person

HERE = person(0.5)


def test_event_id_has_frigates_form_and_is_pure() -> None:
    first = event_id(device_id="yard", camera="porch", start_wall=BOOT, track_id=1)
    assert re.fullmatch(r"1700000000\.000000-[0-9a-f]{6}", first)
    assert first == event_id(device_id="yard", camera="porch", start_wall=BOOT, track_id=1)
    others = {
        event_id(device_id="gate", camera="porch", start_wall=BOOT, track_id=1),
        event_id(device_id="yard", camera="hall", start_wall=BOOT, track_id=1),
        event_id(device_id="yard", camera="porch", start_wall=BOOT + 1e-6, track_id=1),
        event_id(device_id="yard", camera="porch", start_wall=BOOT, track_id=2),
    }
    assert len(others | {first}) == 5


def test_alert_id_is_pure_and_differs_by_event_camera_and_device() -> None:
    ids = {
        alert_id(device_id=device, camera=name, event=event)
        for device in ("yard", "gate")
        for name in ("porch", "hall")
        for event in ("e1", "e2")
        for _ in range(2)
    }
    assert len(ids) == 8


def test_the_same_frames_give_the_same_ids() -> None:
    def story() -> RuleWalk:
        walk = RuleWalk(cooldown_s=0)
        walk.wait(1.0, (1, person(0.2)), (2, person(0.7)))
        return walk

    assert [replace(a, frame=frame(0)) for o in story().outcomes for a in o.alerts] == [
        replace(a, frame=frame(0)) for o in story().outcomes for a in o.alerts
    ]
