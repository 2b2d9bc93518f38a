from __future__ import annotations

import json
from typing import Any

import pytest

from detector.service.slo import SLOT_S, WINDOW_S, AlertSlo
from support.clocks import SetClock


class SloBench:
    def __init__(self, goal_ms: float = 500.0) -> None:
        self.clock = SetClock(now=0.0, wall_ahead=1_790_000_000.0)
        self.goal_ms = goal_ms
        self.saved: Any = None
        self.published: list[Any] = []
        self.restart()

    def restart(self) -> None:
        self.slo = AlertSlo(
            goal_ms=lambda: self.goal_ms,
            saved=self.saved,
            clock=self.clock,
            save=self._save,
            publish=self.published.append,
        )

    def _save(self, _name: str, document: Any) -> None:
        self.saved = json.loads(json.dumps(document))

    def counts(self) -> tuple[int, int]:
        document = self.slo.document()
        return document["alerts"], document["within"]


def test_the_share_of_the_day_within_the_goal() -> None:
    kept = SloBench()
    assert kept.slo.document() == {"goal_ms": 500.0, "window_s": 86400, "alerts": 0, "within": 0, "share": None}
    for total_ms in (80.0, 500.0, 500.1, 90_000.0):
        kept.slo.observe(total_ms)
    assert kept.counts() == (4, 2)
    assert kept.published[-1]["share"] == 0.5


def test_what_is_older_than_a_day_no_longer_counts() -> None:
    kept = SloBench()
    kept.slo.observe(10.0)
    kept.clock.now += WINDOW_S - SLOT_S
    kept.slo.observe(10_000.0)
    assert kept.counts() == (2, 1)
    kept.clock.now += SLOT_S
    assert kept.counts() == (1, 0)
    kept.slo.announce()
    assert kept.published[-1]["alerts"] == 1
    assert len(kept.saved["slots"]) <= WINDOW_S // SLOT_S


def test_it_is_published_when_it_changes_alone() -> None:
    kept = SloBench()
    for _ in range(3):
        kept.slo.announce()
    assert len(kept.published) == 1


def test_a_restart_keeps_the_day_and_a_new_goal_counts_from_now_on() -> None:
    kept = SloBench()
    kept.slo.observe(300.0)
    kept.goal_ms = 100.0
    kept.restart()
    kept.slo.observe(300.0)
    assert kept.counts() == (2, 1)


def test_a_clock_that_is_put_back_forgets_the_future() -> None:
    kept = SloBench()
    kept.slo.observe(1.0)
    kept.clock.wall_ahead -= 3 * WINDOW_S
    kept.slo.observe(1.0)
    assert kept.counts() == (1, 1)


@pytest.mark.parametrize(
    "saved", [{}, {"slots": None}, {"slots": {"x": [1, 1]}}, {"slots": {"3": 7}}, {"slots": {"3": [1]}}]
)
def test_what_cannot_be_read_is_not_used(saved: Any) -> None:
    kept = SloBench()
    kept.saved = saved
    kept.restart()
    assert kept.counts() == (0, 0)
