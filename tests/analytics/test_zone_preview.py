"""The preview against the rules themselves: what they made of a walk, the preview says of its path."""

from __future__ import annotations

from typing import Any

import pytest

from detector.analytics.alert_reason import Hurdle
from detector.analytics.zone_preview import preview_visit
from detector.analytics.zones import ZoneMap
from support.people import GARDEN, HEIGHT, WIDTH, RuleWalk, camera, person

LEFT = ((0.0, 0.0), (0.4, 0.0), (0.4, 1.0), (0.0, 1.0))


def walk_through(**settings: Any) -> RuleWalk:
    """Somebody who walks from left to right along the lower half, 8 s."""
    walk = RuleWalk(**settings)
    for step in range(80):
        walk.step((1, person(0.1 + step * 0.01)))
    walk.close()
    return walk


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"zones": {"left": LEFT}, "alert_zones": ("left",)},
        {"zones": {"top": ((0.0, 0.0), (1.0, 0.0), (1.0, 0.3), (0.0, 0.3))}, "alert_zones": ("top",)},
        {"zones": {"left": LEFT}, "alert_zones": ("left",), "loiter_s": 2},
        {"zones": {"left": LEFT}, "alert_zones": ("left",), "loiter_s": 5},
        {"masks": [GARDEN]},
        {"min_area": 0.2},
        {"max_area": 0.01},
    ],
    ids=str,
)
def test_the_preview_agrees_with_the_rules(settings: dict[str, Any]) -> None:
    alerted = bool(walk_through(**settings).alerts)
    path = walk_through().outcomes[-1].changes[-1].after.path
    wanted = camera(**settings)
    zones = ZoneMap(zones=wanted.zones, masks=wanted.masks)
    reason = preview_visit(path, (WIDTH, HEIGHT), alert=wanted.alert, zones=zones)
    assert (reason.hurdle is Hurdle.NONE) == alerted
    assert bool(reason.text) != alerted


def test_without_a_path_nobody_alerts() -> None:
    reason = preview_visit((), (WIDTH, HEIGHT), alert=camera().alert, zones=ZoneMap(zones={}, masks=()))
    assert (reason.hurdle, reason.text) == (Hurdle.QUALIFIES, "nothing is known of its path")
