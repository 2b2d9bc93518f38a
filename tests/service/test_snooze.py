from __future__ import annotations

import json
import math

import pytest

from detector.alerts.topics import Topics
from detector.core.types import JsonObject
from detector.service.snooze import SNOOZE_STATE, Snoozes
from support.visits import StillClock

NOON = 1_780_000_000.0


class Snoozed:
    """Snoozes on a clock that is moved by hand; what was published and kept is recorded."""

    def __init__(self, saved: object = None, *, wall: float = NOON) -> None:
        self.clock = StillClock(mono=500.0)
        self.clock.now_wall = wall
        self.published: list[tuple[str, JsonObject]] = []
        self.kept: dict[str, JsonObject] = {}
        self.snoozes = Snoozes(
            saved=saved,  # type: ignore[arg-type]  # what a file says cannot be trusted
            save=self.kept.__setitem__,
            topics=Topics("p"),
            send=lambda message: self.published.append((message.topic.split("/")[1], json.loads(message.payload))),
            clock=self.clock,
        )

    def wait(self, seconds: float) -> None:
        self.clock.now_mono += seconds
        self.clock.now_wall += seconds
        self.snoozes.tick()


def test_a_snooze_is_told_and_ends_by_itself() -> None:
    porch = Snoozed()
    porch.snoozes.set("porch", 600)
    assert porch.snoozes.is_snoozed("porch")
    assert not porch.snoozes.is_snoozed("door")
    porch.wait(599)
    assert porch.snoozes.until("porch") == "2026-05-28T20:36:40Z"
    porch.wait(1)
    assert not porch.snoozes.is_snoozed("porch")
    assert porch.published == [
        ("porch", {"snoozed": True, "seconds": 600, "until": "2026-05-28T20:36:40Z"}),
        ("porch", {"snoozed": False, "seconds": 0, "until": None}),
    ]
    porch.wait(1)
    assert len(porch.published) == 2
    assert porch.kept == {SNOOZE_STATE: {}}


def test_a_later_one_takes_the_place_and_0_ends_it() -> None:
    porch = Snoozed()
    porch.snoozes.set("porch", 60)
    porch.snoozes.set("porch", 3600)
    porch.wait(120)
    assert porch.snoozes.is_snoozed("porch")
    porch.snoozes.set("porch", 0)
    assert not porch.snoozes.is_snoozed("porch")
    assert porch.published[-1][1]["snoozed"] is False


@pytest.mark.parametrize("seconds", [-1, 86_401, 10**30])
def test_out_of_range_is_refused(seconds: int) -> None:
    porch = Snoozed()
    with pytest.raises(ValueError, match="between 0 and 86400"):
        porch.snoozes.set("porch", seconds)
    assert (porch.published, porch.kept) == ([], {})


def test_a_wall_clock_that_jumps_changes_nothing() -> None:
    porch = Snoozed()
    porch.snoozes.set("porch", 600)
    porch.clock.now_wall += 1e6
    porch.wait(599)
    assert porch.snoozes.is_snoozed("porch")
    porch.clock.now_wall = 0.0
    porch.wait(2)
    assert not porch.snoozes.is_snoozed("porch")


@pytest.mark.parametrize(
    ("down_s", "left_s"),
    [(100, 500), (700, None), (-1e6, 600)],
    ids=["a restart takes time", "it ended meanwhile", "the clock was set back: no longer than it was"],
)
def test_it_outlives_a_restart(down_s: float, left_s: float | None) -> None:
    before = Snoozed()
    before.snoozes.set("porch", 600)
    after = Snoozed(before.kept[SNOOZE_STATE], wall=NOON + down_s)
    assert after.snoozes.is_snoozed("porch") is (left_s is not None)
    if left_s is not None:
        after.wait(left_s - 1)
        assert after.snoozes.is_snoozed("porch")
        after.wait(2)
        assert not after.snoozes.is_snoozed("porch")


@pytest.mark.parametrize(
    "entry",
    [None, 5, "x", {}, {"until": NOON}, {"until": "x", "seconds": 5}, {"until": math.nan, "seconds": 5},
     {"until": math.inf, "seconds": 10**400}, {"until": NOON + 9, "seconds": -1}, [1]],
)  # fmt: skip
def test_a_damaged_file_snoozes_nobody(entry: object) -> None:
    after = Snoozed({"porch": entry})
    assert not after.snoozes.is_snoozed("porch")
    after.snoozes.announce(["porch"])
    assert after.published == [("porch", {"snoozed": False, "seconds": 0, "until": None})]


def test_of_an_endless_one_a_day_is_left() -> None:
    after = Snoozed({"porch": {"until": math.inf, "seconds": 10**9}})
    after.wait(86_399)
    assert after.snoozes.is_snoozed("porch")
    after.wait(2)
    assert not after.snoozes.is_snoozed("porch")


def test_a_removed_camera_comes_back_awake() -> None:
    porch = Snoozed()
    porch.snoozes.set("porch", 600)
    porch.snoozes.forget("porch")
    assert not porch.snoozes.is_snoozed("porch")
    assert porch.kept == {SNOOZE_STATE: {}}
