"""Topic filters: the examples of section 4.7 of MQTT 3.1.1, and paho's own matching as a second opinion."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from detector.mqtt.broker.topic_filter import is_valid, matches

LEVELS = st.lists(st.sampled_from(["a", "b", "", "$s", "+"]), min_size=1, max_size=4)
TOPICS = st.lists(st.sampled_from(["a", "b", "", "$s"]), min_size=1, max_size=4).map("/".join).filter(bool)


@pytest.mark.parametrize("pattern", ["a", "/", "a/+/b", "+", "#", "a/#", "+/b/#", "/finance"])
def test_valid(pattern: str) -> None:
    assert is_valid(pattern)


@pytest.mark.parametrize("pattern", ["", "a/#/b", "a#", "#/a", "a+", "a/+b/c", "##"])
def test_invalid(pattern: str) -> None:
    assert not is_valid(pattern)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/tennis/player1/#", "sport/tennis", False),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/load", False),
        ("+/monitor", "$SYS/monitor", False),
        ("$SYS/#", "$SYS/load", True),
        ("a", "A", False),
    ],
)
def test_matching(pattern: str, topic: str, expected: bool) -> None:
    assert matches(pattern, topic) is expected


@settings(deadline=None)
@given(LEVELS, st.booleans(), TOPICS)
def test_as_paho_matches(levels: list[str], all_below: bool, topic: str) -> None:
    pattern = "/".join([*levels, "#"] if all_below else levels)
    if not pattern:
        return
    assert is_valid(pattern)
    assert matches(pattern, topic) == topic_matches_sub(pattern, topic)
