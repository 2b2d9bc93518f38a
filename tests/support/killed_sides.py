"""A dispatcher and a broker as processes that are killed (SIGKILL) and started again, quickly.

They are forked off a server that has imported all they need (multiprocessing's forkserver): a start takes milliseconds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TextIO

from .dispatcher import running_dispatcher
from .messages import make_alert, make_change, running
from .mosquitto import DEADLINE, free_port
from .picky_broker import Dislikes, PickyBroker, Taken

_GAP_S = 0.002  # between two alerts
_ENDS_AFTER = (0, 1, 3, 30)
"""Publishes that a broker takes in a connection before it ends it; 0: it does not."""
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([__name__])


class KilledProcess:
    """`run(*arguments, line)` in a process; it sends when it has started, and ends at the end of `line`."""

    def __init__(self, run: Callable[..., None]) -> None:
        self._run = run
        self._process: BaseProcess | None = None
        self._line: Connection | None = None

    def start(self, *arguments: object) -> None:
        self._line, theirs = _forks.Pipe()
        self._process = _forks.Process(target=self._run, args=(*arguments, theirs), daemon=True)
        self._process.start()
        theirs.close()
        assert self._line.poll(2 * DEADLINE), "it did not start"
        self._line.recv()

    def kill(self) -> None:
        if self._process is not None and self._line is not None:
            self._process.kill()
            self._process.join()
            self._line.close()
            self._process = None

    def stop(self) -> None:
        assert self._process is not None
        assert self._line is not None
        self._line.close()
        self._process.join(2 * DEADLINE)
        assert self._process.exitcode == 0
        self._process = None


class KilledSides:
    """A dispatcher, each time with alerts that no other run had, and a broker with one ledger of what it took."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.data, self.ledger = folder / "data", folder / "ledger"
        self.dispatcher, self.broker = KilledProcess(dispatch), KilledProcess(take)
        self._dice, self._port, self._first = dice, free_port(), 0
        self.kills = {"dispatcher": 0, "broker": 0}
        self.data.mkdir(parents=True)

    def start_dispatcher(self, count: int = 1000) -> None:
        self.dispatcher.start(self.data, self._port, self._first, count)
        self._first += count

    def start_broker(self, ends_after: int | None = None) -> None:
        chosen = self._dice.choice(_ENDS_AFTER) if ends_after is None else ends_after
        self.broker.start(self.ledger, self._port, chosen)

    def kill_one(self) -> None:
        """Either side, and start it again: the broker after a moment."""
        if self._dice.random() < 0.5:
            self.kills["broker"] += 1
            self.broker.kill()
            time.sleep(self._dice.uniform(0.0, 0.1))
            self.start_broker()
        else:
            self.kills["dispatcher"] += 1
            self.dispatcher.kill()
            self.start_dispatcher()

    def taken(self) -> dict[int, set[str]]:
        """The ids that arrived under each number. A broker killed while it wrote leaves a torn line, not acknowledged."""
        found: dict[int, set[str]] = defaultdict(set)
        for line in self.ledger.read_text().splitlines():
            words = line.split()
            if len(words) == 3:
                found[int(words[0])].add(words[1])
        return found


def dispatch(folder: Path, port: int, first: int, count: int, line: Connection) -> None:
    """`count` visits and alerts, the numbers from `first` on, through the real outbox and client."""
    with running_dispatcher(folder, port) as delivery:
        line.send(os.getpid())
        for number in range(first, first + count):
            delivery.dispatcher.change(make_change(number))
            delivery.dispatcher.alert(make_alert(number))
            time.sleep(_GAP_S)
        _wait_for_end(line)


class _Ledger(list[Taken]):
    """Writes each alert down before it is acknowledged: number, id, and an end that a torn line has not."""

    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self._file = file

    def append(self, taken: Taken) -> None:
        if taken.topic == "p/alerts":
            alert = json.loads(taken.payload)
            self._file.write(f"{alert['seq']} {alert['id']} .\n")
            self._file.flush()


def take(ledger: Path, port: int, ends_after: int, line: Connection) -> None:
    """A broker that takes all there is, and ends a connection after `ends_after` publishes (0: it does not)."""
    with ledger.open("a") as file:
        file.write("\n")  # the one before may have been killed within a line
        broker = PickyBroker(Dislikes(takes=ends_after or None), taken=_Ledger(file), port=port)
        with running(broker.run):
            line.send(os.getpid())
            _wait_for_end(line)


def _wait_for_end(line: Connection) -> None:
    with suppress(EOFError):
        line.recv()
