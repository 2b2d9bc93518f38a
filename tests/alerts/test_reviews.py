from __future__ import annotations

from dataclasses import replace
from typing import Literal

from detector.alerts.reviews import ReviewTracker
from detector.core.types import Event, EventChange
from support.visits import event, frame


def change(kind: Literal["new", "update", "end"], after: Event) -> EventChange:
    return EventChange(type=kind, before=after, after=after, frame=frame())


def test_a_review_begins_with_the_first_visit_and_ends_with_the_last() -> None:
    tracker = ReviewTracker()
    one, two = event(id="1.0-a"), event(id="2.0-b", entered_zones=("path", "porch"))
    (new,) = tracker.change(change("new", one))
    (joined,) = tracker.change(change("new", two))
    assert (new["type"], joined["type"]) == ("new", "update")
    assert list(tracker.change(change("update", one))) == [], "nothing that a review says has changed"
    assert list(tracker.change(change("end", replace(one, end_wall=50.0)))) == []
    (ended,) = tracker.change(change("end", replace(two, end_wall=60.0)))
    assert ended["type"] == "end"
    assert ended["before"]["end_time"] is None
    assert ended["after"] == {
        "id": "1.0-a",
        "camera": "porch",
        "start_time": one.start_wall,
        "end_time": 60.0,
        "severity": "detection",
        "thumb_path": "",
        "data": {
            "detections": ["1.0-a", "2.0-b"],
            "objects": ["person"],
            "sub_labels": [],
            "zones": ["garden", "path", "porch"],
            "audio": [],
        },
    }
    assert tracker.severity("porch") is None


def test_an_alert_raises_the_severity_once() -> None:
    tracker = ReviewTracker()
    assert list(tracker.alert("porch")) == [], "an alert whose visit is over"
    list(tracker.change(change("new", event())))
    (raised,) = tracker.alert("porch")
    assert (raised["before"]["severity"], raised["after"]["severity"]) == ("detection", "alert")
    assert list(tracker.alert("porch")) == []
    assert tracker.severity("porch") == "alert"


def test_cameras_have_reviews_of_their_own_and_an_unknown_end_is_none() -> None:
    tracker = ReviewTracker()
    assert list(tracker.change(change("end", event(id="old", end_wall=1.0)))) == []
    (one,) = tracker.change(change("new", event(id="a")))
    (two,) = tracker.change(change("new", event(id="b", camera="drive")))
    assert (one["after"]["camera"], two["after"]["camera"]) == ("porch", "drive")
    assert two["after"]["data"]["detections"] == ["b"]
