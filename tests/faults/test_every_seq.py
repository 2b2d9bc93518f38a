"""Alerts are numbered without gaps: whatever is killed, and when, each number arrives.

The dispatcher runs in a process that is killed (SIGKILL) at random moments; the broker is one that writes down what
it takes and ends connections at random moments, so that "taken" means taken.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from support.messages import running
from support.mosquitto import wait_until
from support.outboxes import on_disk
from support.picky_broker import Dislikes, PickyBroker

_CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from support.dispatcher import running_dispatcher
from support.messages import make_alert, make_change
first, count = int(sys.argv[4]), int(sys.argv[5])
with running_dispatcher(Path(sys.argv[2]), int(sys.argv[3])) as delivery:
    print("started", flush=True)
    for number in range(first, first + count):
        delivery.dispatcher.change(make_change(number))
        delivery.dispatcher.alert(make_alert(number))
        time.sleep(0.002)
    print("said", flush=True)
    sys.stdin.read()
"""


class DispatcherRun:
    """The dispatcher as a process, killed and started again; each time with alerts that no other had."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port, self._first = folder, port, 0
        self.process: subprocess.Popen[str] | None = None

    def start(self, count: int = 1000) -> None:
        tests = str(Path(__file__).resolve().parents[1])
        arguments = [tests, str(self._folder), str(self._port), str(self._first), str(count)]
        self._first += count
        command = [sys.executable, "-c", _CHILD, *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "started\n"

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def stop(self) -> None:
        assert self.process is not None
        self.process.communicate("", timeout=30)
        assert self.process.returncode == 0


def taken(broker: PickyBroker) -> dict[int, set[str]]:
    """The ids that arrived under each number."""
    found: dict[int, set[str]] = defaultdict(set)
    for one in list(broker.taken):
        if one.topic == "p/alerts":
            alert = json.loads(one.payload)
            found[alert["seq"]].add(alert["id"])
    return found


def kill_and_look(folder: Path, kills: int, seed: int) -> None:
    dice, broker = random.Random(seed), PickyBroker(Dislikes())
    service = DispatcherRun(folder, broker.port)
    with running(broker.run):
        service.start()
        for _ in range(kills):
            time.sleep(dice.uniform(0.0, 0.3))
            if dice.random() < 0.5:
                # Some ends come right at a publish, in the middle of what is on its way.
                broker.change_mind(Dislikes(takes=dice.choice([None, 1, 3, 30])))
            else:
                service.kill()
                service.start()
        broker.change_mind(Dislikes())
        service.kill()
        service.start(count=1)
        wait_until(lambda: on_disk(folder / "outbox.db") == [], "all delivered")
        service.stop()
        found = taken(broker)
    assert found, "nothing arrived at all"
    assert sorted(found) == list(range(1, max(found) + 1)), "a number is missing"
    assert {number: ids for number, ids in found.items() if len(ids) > 1} == {}, "a number was given twice"


def test_every_number_arrives_through_a_few_kills(tmp_path: Path) -> None:
    kill_and_look(tmp_path / "data", kills=6, seed=1)


@pytest.mark.fault
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(10))
def test_every_number_arrives_through_500_kills(tmp_path: Path, seed: int) -> None:
    kill_and_look(tmp_path / "data", kills=50, seed=100 + seed)
