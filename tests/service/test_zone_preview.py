from __future__ import annotations

import logging
from typing import Any

import pytest

from detector.api.scene_documents import ZoneDraft
from detector.config.schema import AlertSettings
from detector.core.errors import ConfigError
from detector.service.zone_preview import preview_zones

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


def visit(name: str, x: float, **changes: Any) -> dict[str, Any]:
    """Somebody whose feet are at (x, 0.8) all the time."""
    path = [[t / 2, x - 0.05, 0.4, x + 0.05, 0.8, 0.9] for t in range(10)]
    base = {"id": name, "start_time": 1.0, "end_time": 6.0, "top_score": 0.9, "has_snapshot": True}
    return base | {"frame_size": [640, 360], "path": path, "alerts": [{"id": "a"}], "suppressed": None} | changes


def judged(draft: ZoneDraft, *visits: dict[str, Any]) -> list[tuple[bool, bool, str]]:
    found = preview_zones(visits, "porch", AlertSettings(), draft)
    assert found["would_alert"] == sum(one["would_alert"] for one in found["visits"])
    return [(one["alerted"], one["would_alert"], one["reason"]) for one in found["visits"]]


def test_a_zone_leaves_out_who_stays_outside_of_it() -> None:
    draft = ZoneDraft(zones={"left": LEFT}, alert_zones=("left",), after=0.0)
    assert judged(draft, visit("a", 0.2), visit("b", 0.8)) == [(True, True, ""), (True, False, "outside left")]


def test_masks_and_sizes_count_and_without_alert_zones_everybody_alerts() -> None:
    everybody = ZoneDraft(zones={"left": LEFT}, after=0.0)
    assert judged(everybody, visit("b", 0.8)) == [(True, True, "")]
    assert judged(ZoneDraft(masks=(LEFT,), after=0.0), visit("a", 0.2)) == [(True, False, "in a mask")]
    small = judged(ZoneDraft(min_area=0.1, after=0.0), visit("a", 0.2))
    assert small == [(True, False, "too small: 4 % of the picture, needs 10 %")]


def test_an_older_visit_is_judged_by_its_last_box() -> None:
    old = visit("a", 0.2, path=None, box=[64, 36, 128, 288])
    draft = ZoneDraft(zones={"left": LEFT}, alert_zones=("left",), after=0.0)
    assert judged(draft, old) == [(True, True, "")]


def test_what_cannot_be_read_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    draft = ZoneDraft(after=0.0)
    with caplog.at_level(logging.WARNING):
        assert [one[1] for one in judged(draft, visit("a", 0.2, frame_size=None), visit("b", 0.2))] == [False, True]
    assert "visit a has no readable path" in caplog.text


def test_sizes_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="min_area must be smaller"):
        judged(ZoneDraft(min_area=0.5, max_area=0.5, after=0.0))
