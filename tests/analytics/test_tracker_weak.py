"""Tracks that weak detections start, where `new_score` is below `high_score`."""

from __future__ import annotations

import numpy as np

from detector.analytics.tracker import Tracker, TrackerSettings
from detector.core.types import Box

WEAK = TrackerSettings(new_score=0.3)


def person(x: float, y: float) -> Box:
    return x, y, x + 40.0, y + 100.0


def test_a_weak_detection_starts_a_track_only_where_it_may() -> None:
    box = np.array([person(100.0, 100.0)], np.float32)
    for tracker, count in ((Tracker(settings=WEAK), 1), (Tracker(), 0)):
        for t in (0.0, 0.1, 0.2):
            tracks = tracker.update(box, np.array([0.35], np.float32), t)
        assert [track.hits for track in tracks] == [3] * count


def test_a_weak_track_takes_no_detection_from_a_sure_one_and_none_starts_beside_it() -> None:
    sure, beside = person(100.0, 100.0), person(115.0, 105.0)
    tracker = Tracker(settings=WEAK)
    for t in (0.0, 0.1, 0.2):
        (track,) = tracker.update(np.array([sure], np.float32), np.array([0.9], np.float32), t)
    for t in (0.3, 0.4):
        tracks = tracker.update(np.array([sure, beside], np.float32), np.array([0.9, 0.4], np.float32), t)
    assert [(one.id, one.hits) for one in tracks] == [(track.id, 5)]


def test_a_weak_track_is_lost_as_soon_as_any_that_is_not_confirmed() -> None:
    tracker = Tracker(settings=WEAK)
    for t in (0.0, 0.1, 0.2):
        tracker.update(np.array([person(100.0, 100.0)], np.float32), np.array([0.35], np.float32), t)
    nothing = np.empty((0, 4), np.float32), np.empty(0, np.float32)
    assert len(tracker.update(*nothing, 0.9)) == 1
    tracker.update(*nothing, 1.1)
    assert tracker.update(*nothing, 1.4) == ()
