from __future__ import annotations

from typing import Any

import pytest

from support.api import RunningApi, StartApi

ZONE = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0]]
EMPTY = {"min_area": 0.0, "max_area": 1.0, "after": 0.0}


def test_the_scene_of_a_camera(free: RunningApi) -> None:
    answer = free.client.get("/api/cameras/porch/scene")
    assert answer.status_code == 200
    scene = answer.json()
    assert scene["boxes"][0]["reason"] == "2 of 3 frames"
    assert (scene["width"], scene["zones"], scene["alert_zones"]) == (640, {}, [])
    assert free.client.get("/api/cameras/attic/scene").status_code == 404


def test_a_camera_without_a_picture_has_no_scene_yet(window: StartApi) -> None:
    opened = window()
    opened.control.cameras["porch"]["frames"] = None
    assert opened.client.get("/api/cameras/porch/scene").status_code == 503


def test_a_draft_is_judged_and_not_saved(window: StartApi) -> None:
    opened = window()
    for visit in opened.control.history:
        visit["frame_size"] = [640, 360]
    before = opened.client.get("/api/config").json()
    draft = {"zones": {"left": ZONE}, "alert_zones": ["left"], **EMPTY}
    found = opened.client.post("/api/cameras/porch/zones/preview", json=draft).json()
    assert (found["camera"], found["alerted"], len(found["visits"])) == ("porch", 0, 5)
    assert opened.client.get("/api/config").json() == before


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"zones": {"a": ZONE[:2]}}, "zones.a"),
        ({"zones": {"a": [[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]]}}, "zones.a"),
        ({"zones": {"A b": ZONE}}, "zones.A b.[key]"),
        ({"zones": {"a": [[0.0, 0.0], [1.5, 0.0], [0.5, 1.0]]}}, "zones.a.1.0"),
        ({"alert_zones": ["shed"]}, "alert_zones"),
        ({"min_area": 0.5, "max_area": 0.1}, "min_area"),
        ({"after": -1}, "after"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_draft_that_makes_no_sense_is_refused(free: RunningApi, changes: dict[str, Any], key: str) -> None:
    answer = free.client.post("/api/cameras/porch/zones/preview", json={**EMPTY, **changes})
    assert (answer.status_code, answer.json()["key"]) == (422, key)
