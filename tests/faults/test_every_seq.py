"""Alerts are numbered without gaps: whatever is killed, and when, each number arrives.

Dispatcher and broker each run in a process that is killed (SIGKILL) at random moments. The broker writes down what it takes
before it acknowledges it, so that "taken" means taken, and ends connections in the middle of what is on its way, too.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.mosquitto import free_port, wait_until
from support.outboxes import on_disk

_DISPATCHER = """
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


_BROKER = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from support.picky_broker import Dislikes, PickyBroker
with open(sys.argv[2], "a") as ledger:
    ledger.write(chr(10))  # the one before may have been killed within a line
    class Written(list):
        def append(self, taken):
            if taken.topic == "p/alerts":
                ledger.write(taken.payload.decode() + chr(10))
                ledger.flush()
    broker = PickyBroker(Dislikes(takes=int(sys.argv[4]) or None), taken=Written(), port=int(sys.argv[3]))
    print("started", flush=True)
    broker.run(threading.Event())
"""
_TESTS = str(Path(__file__).resolve().parents[1])
_ENDS_AFTER = (0, 1, 3, 30)
"""Publishes that a broker takes in a connection before it ends it; 0: it does not."""


@dataclass
class KilledProcess:
    """A Python script as a process, killed and started again."""

    script: str
    process: subprocess.Popen[str] | None = field(default=None, init=False)

    def start(self, *arguments: object) -> None:
        """Until it says that it has started."""
        command = [sys.executable, "-c", self.script, _TESTS, *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "started\n"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def stop(self) -> None:
        """The end of its input is its sign to end."""
        assert self.process is not None
        self.process.communicate("", timeout=60)
        assert self.process.returncode == 0
        self.process = None


class KilledSides:
    """A dispatcher, each time with alerts that no other run had, and a broker with one ledger."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.data, self.ledger = folder / "data", folder / "ledger"
        self.dispatcher, self.broker = KilledProcess(_DISPATCHER), KilledProcess(_BROKER)
        self._dice, self._port, self._first = dice, free_port(), 0
        self.data.mkdir(parents=True)

    def start_dispatcher(self, count: int = 1000) -> None:
        self.dispatcher.start(self.data, self._port, self._first, count)
        self._first += count

    def start_broker(self, ends_after: int | None = None) -> None:
        chosen = self._dice.choice(_ENDS_AFTER) if ends_after is None else ends_after
        self.broker.start(self.ledger, self._port, chosen)

    def kill_one(self) -> None:
        if self._dice.random() < 0.5:
            self.broker.kill()
            time.sleep(self._dice.uniform(0.0, 0.1))
            self.start_broker()
        else:
            self.dispatcher.kill()
            self.start_dispatcher()

    def taken(self) -> dict[int, set[str]]:
        """The ids that arrived under each number. A broker killed while it wrote leaves a torn line, not acknowledged."""
        found: dict[int, set[str]] = defaultdict(set)
        for line in self.ledger.read_text().splitlines():
            try:
                alert = json.loads(line)
            except ValueError:
                continue
            found[alert["seq"]].add(alert["id"])
        return found


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
    found = sides.taken()
    assert found, "nothing arrived at all"
    assert sorted(found) == list(range(1, max(found) + 1)), "a number is missing"
    assert {number: ids for number, ids in found.items() if len(ids) > 1} == {}, "a number was given twice"


def test_every_number_arrives_through_a_few_kills(tmp_path: Path) -> None:
    kill_and_look(tmp_path, kills=6, seed=1)


@pytest.mark.fault
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(10))
def test_every_number_arrives_through_500_kills(tmp_path: Path, seed: int) -> None:
    kill_and_look(tmp_path, kills=50, seed=100 + seed)
