from __future__ import annotations

import json
from typing import Any

import pytest

from detector.analytics.cooldown import Cooldown
from detector.core.types import SinceLast


def test_an_alert_passes_where_the_cooldown_of_one_of_its_keys_is_over() -> None:
    cooldown = Cooldown(seconds=30)
    assert cooldown.is_over(["street"], 0.0)
    cooldown.start(["street"], 0.0)
    assert not cooldown.is_over(["street"], 29.9)
    assert cooldown.is_over(["street", "yard"], 1.0)
    assert cooldown.is_over(["street"], 30.0)


def test_cooldowns_that_are_over_take_no_memory() -> None:
    cooldown = Cooldown(seconds=30)
    for number in range(1000):
        cooldown.start([f"person {number}"], float(number))
    assert len(cooldown._started) <= 31


def test_who_was_held_back_is_given_once_without_who_alerts() -> None:
    cooldown = Cooldown(seconds=30)
    for event in ("a", "b", "c"):
        cooldown.hold_back(event)
    assert cooldown.take_held("b") == SinceLast(people=2, events=("a", "c"))
    assert cooldown.take_held("b") == SinceLast()


def test_the_revision_changes_with_who_is_held_back_alone() -> None:
    cooldown = Cooldown(seconds=30)
    cooldown.start([""], 0.0)
    cooldown.take_held("a")
    assert cooldown.revision == 0
    cooldown.hold_back("b")
    held = cooldown.revision
    cooldown.take_held("a")
    assert len({0, held, cooldown.revision}) == 3


def test_a_dump_is_json_and_restores_who_was_held_back() -> None:
    before, after = Cooldown(seconds=30), Cooldown(seconds=30)
    for number in range(25):
        before.hold_back(f"e{number}")
    after.load(json.loads(json.dumps(before.dump())))
    assert after.take_held("x") == before.take_held("x")


@pytest.mark.parametrize(
    "damaged", [{}, {"people": "x", "events": []}, {"people": 1, "events": 3}, {"people": 0, "events": ["a"]}]
)
def test_a_damaged_dump_is_refused_and_changes_nothing(damaged: dict[str, Any]) -> None:
    cooldown = Cooldown(seconds=30)
    cooldown.hold_back("a")
    with pytest.raises((KeyError, TypeError, ValueError)):
        cooldown.load(damaged)
    assert cooldown.take_held("x") == SinceLast(people=1, events=("a",))
