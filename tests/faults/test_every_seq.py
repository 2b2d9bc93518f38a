"""Alerts are numbered without gaps: whatever is killed, and when, each number arrives.

Dispatcher and broker each run in a process that is killed (SIGKILL) at random moments. The broker writes down what it takes
before it acknowledges it, so that "taken" means taken, and ends connections in the middle of what is on its way, too.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from support.killed_sides import KilledSides
from support.mosquitto import wait_until
from support.outboxes import on_disk


def kill_and_look(folder: Path, kills: int, seed: int) -> None:
    dice = random.Random(seed)
    sides = KilledSides(folder, dice)
    try:
        sides.start_broker()
        sides.start_dispatcher()
        for _ in range(kills):
            time.sleep(dice.uniform(0.0, 0.3))
            sides.kill_one()
        sides.broker.kill()
        sides.start_broker(ends_after=0)
        sides.dispatcher.kill()
        sides.start_dispatcher(count=1)
        wait_until(lambda: on_disk(sides.data / "outbox.db") == [], "all delivered")
        sides.dispatcher.stop()
    finally:
        sides.dispatcher.kill()
        sides.broker.kill()
    assert min(sides.kills.values()) > 0, "both sides were killed"
    found = sides.taken()
    assert found, "nothing arrived at all"
    assert sorted(found) == list(range(1, max(found) + 1)), "a number is missing"
    assert {number: ids for number, ids in found.items() if len(ids) > 1} == {}, "a number was given twice"


@pytest.mark.slow
def test_every_number_arrives_through_a_few_kills(tmp_path: Path) -> None:
    kill_and_look(tmp_path, kills=6, seed=1)


@pytest.mark.fault
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(10))
def test_every_number_arrives_through_500_kills(tmp_path: Path, seed: int) -> None:
    kill_and_look(tmp_path, kills=50, seed=100 + seed)
