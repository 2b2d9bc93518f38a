from __future__ import annotations

from typing import Any

import pytest

from detector.alerts.payloads import event_payload
from detector.core.frigate import event_document, event_summary, stats_document, with_stats
from detector.core.types import EventChange
from support.control import MemoryControl, camera_status
from support.visits import event, frame


def stored(**more: Any) -> dict[str, Any]:
    """A visit as the history gives it."""
    one = event(end_wall=1_790_000_012.0)
    change = EventChange(type="end", before=one, after=one, frame=frame())
    return {**event_payload(change, device="yard")["after"], "alerts": [], **more}


def test_an_events_box_is_said_as_shares_too() -> None:
    found = event_document(stored())
    assert found["data"]["box"] == pytest.approx([10 / 64, 12 / 48, 10 / 64, 28 / 48], abs=1e-4)
    assert found["data"]["region"] == [0.0, 0.0, 1.0, 1.0]
    assert (found["zones"], found["box"], found["area"]) == (["garden", "path"], [10, 12, 20, 40], 280)
    assert found["data"]["max_severity"] == "detection"
    assert event_document(stored(alerts=[{"id": "x"}]))["data"]["max_severity"] == "alert"


def test_a_visit_of_which_little_is_known_has_a_shape_all_the_same() -> None:
    little = dict.fromkeys(stored()) | {"id": "1", "camera": "porch", "label": "person", "entered_zones": []}
    assert event_document(little)["data"]["box"] == [0.0, 0.0, 0.0, 0.0]


def test_the_summary_counts_by_day_camera_and_zones() -> None:
    day = 86_400.0
    events = [
        {"camera": "porch", "start_time": 3 * day + 1, "entered_zones": []},
        {"camera": "porch", "start_time": 3 * day + 2, "entered_zones": []},
        {"camera": "porch", "start_time": 3 * day + 3, "entered_zones": ["garden"]},
        {"camera": "drive", "start_time": 2 * day, "entered_zones": []},
    ]
    assert [(one["day"], one["camera"], one["zones"], one["count"]) for one in event_summary(events)] == [
        ("1970-01-04", "porch", ["garden"], 1),
        ("1970-01-04", "porch", [], 2),
        ("1970-01-03", "drive", [], 1),
    ]


def test_stats_have_the_figures_that_the_integration_reads() -> None:
    control = MemoryControl("porch", "off")
    control.cameras["off"] = camera_status(fps=None, detect_fps=None, detect_enabled=None)
    stats = stats_document(control.status())
    assert stats["cameras"]["porch"]["camera_fps"] == 14.9
    assert stats["cameras"]["porch"]["detection_fps"] == 9.8
    assert stats["cameras"]["porch"]["skipped_fps"] == pytest.approx(5.1)
    assert stats["cameras"]["off"]["camera_fps"] == 0.0
    assert stats["detection_fps"] == 9.8
    assert stats["detectors"]["detector"]["inference_speed"] == 26.4
    assert stats["service"]["version"].startswith("0.14.1-")
    assert stats["service"]["temperatures"] == {"device": 51.5}


def test_on_the_topic_both_readers_find_theirs() -> None:
    status = MemoryControl("porch").status()
    both = with_stats(status)
    assert both["outbox"] == status["outbox"]
    assert both["system"] == status["system"]
    assert both["cameras"]["porch"].items() >= status["cameras"]["porch"].items()
    assert both["cameras"]["porch"]["process_fps"] == 9.8
    assert both["detectors"]
