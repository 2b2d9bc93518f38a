from __future__ import annotations

from detector.alerts.topics import Topics


def test_topics_are_the_contracts() -> None:
    topics = Topics("home/det")
    assert [topics.available, topics.events, topics.alerts, topics.stats, topics.alarm_set, topics.alarm_state] == [
        f"home/det/{tail}" for tail in ("available", "events", "alerts", "stats", "alarm/set", "alarm/state")
    ]
    named = (
        topics.person,
        topics.motion,
        topics.snapshot,
        topics.camera_status,
        topics.detect_set,
        topics.detect_state,
    )
    tails = ("person", "motion", "person/snapshot", "status", "detect/set", "detect/state")
    assert [name("porch") for name in named] == [f"home/det/porch/{tail}" for tail in tails]
    assert set(topics.retained_of("porch")) == {name("porch") for name in named} - {
        topics.motion("porch"),
        topics.detect_set("porch"),
    } | {topics.snooze_state("porch"), topics.last_alert("porch")}
    kept = ("available", "alarm/state", "alarm/attributes", "slo")
    assert set(topics.retained) == {f"home/det/{tail}" for tail in kept}
