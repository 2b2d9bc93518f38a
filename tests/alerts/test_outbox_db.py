"""The outbox on the disk: order, durability, damage."""

from __future__ import annotations

import math
import signal
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from detector.alerts.outbox_db import Outbox
from detector.alerts.outbox_entries import Counters, Entry, NewEntry
from support.outboxes import PAGE, an_event, keys, put_alert


def test_what_is_put_comes_back_in_order(outbox: Outbox) -> None:
    first = put_alert(outbox, "a", zones=["garden"])
    rest = outbox.put_many([an_event("e", "new"), an_event("e", "end")])
    assert outbox.pending(10) == [first, *rest]
    assert first == Entry(
        seq=1,
        kind="alert",
        key="a",
        topic="d/alerts",
        payload={"id": "a", "zones": ["garden"], "seq": 1},
        created_wall=10.0,
    )
    assert outbox.pending(1) == [first]
    assert outbox.pending(10, after_seq=first.seq) == rest
    assert outbox.pending(0) == []


def test_an_alert_that_waits_is_not_written_twice(outbox: Outbox) -> None:
    first = put_alert(outbox, "a")
    assert put_alert(outbox, "a", other="news") == first
    assert keys(outbox) == ["a"]
    outbox.done([first.seq])
    assert put_alert(outbox, "a").seq > first.seq


def test_numbers_never_come_back(path: Path) -> None:
    numbers: list[int] = []
    counts: list[int] = []
    for round_ in range(3):
        with closing(Outbox(path)) as outbox:
            outbox.put_many([an_event("e")])
            entry = put_alert(outbox, f"a{round_}")
            numbers.append(entry.seq)
            counts.append(entry.payload["seq"])
            outbox.done(range(entry.seq + 1))
            assert outbox.pending(10) == []
    assert numbers == [2, 4, 6]
    assert counts == [1, 2, 3]  # without gaps, whatever events come between


def test_sent_and_done_survive_a_restart(path: Path) -> None:
    with closing(Outbox(path)) as outbox:
        for key in "abc":
            put_alert(outbox, key)
        outbox.mark_sent([1, 2])
        outbox.done([1, 99])
        outbox.mark_sent([])
    with closing(Outbox(path)) as outbox:
        assert [(entry.key, entry.sent) for entry in outbox.pending(10)] == [("b", True), ("c", False)]


def test_a_batch_is_written_whole_or_not_at_all(outbox: Outbox) -> None:
    unsayable = NewEntry(kind="event", key="e", topic="t", payload={"x": math.nan}, created_wall=0.0)
    with pytest.raises(ValueError, match="JSON"):
        outbox.put_many([an_event("good"), unsayable])
    assert outbox.pending(10) == []
    assert outbox.stats().pending_events == 0


def test_figures(outbox: Outbox) -> None:
    assert outbox.stats().oldest_wall is None
    outbox.put_many([an_event("e", wall=5.0)])
    put_alert(outbox, "a")
    figures = outbox.stats()
    assert (figures.pending_alerts, figures.pending_events, figures.oldest_wall) == (1, 1, 5.0)
    assert figures.bytes >= PAGE
    outbox.done([1])
    assert outbox.stats().oldest_wall == 10.0


def test_figures_are_there_after_a_restart(path: Path) -> None:
    with closing(Outbox(path)) as outbox:
        put_alert(outbox, "a")
        before = outbox.counters
    with closing(Outbox(path)) as outbox:
        assert outbox.stats().pending_alerts == 1
        assert outbox.counters == before


def test_too_many_events_go_updates_first_and_alerts_never(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Outbox(path, max_events=3)) as outbox:
        put_alert(outbox, "alert")
        outbox.put_many([an_event("n1", "new"), an_event("u1"), an_event("u2"), an_event("n2", "new")])
        assert keys(outbox) == ["alert", "n1", "u2", "n2"]
        outbox.put_many([an_event("n3", "new"), an_event("n4", "end")])
        assert keys(outbox) == ["alert", "n2", "n3", "n4"]
        for number in range(5):
            put_alert(outbox, f"alert{number}")
        assert outbox.stats().pending_alerts == 6
        assert outbox.stats().dropped_events == 3
    assert "1 events were dropped" in caplog.text
    with closing(Outbox(path, max_events=3)) as outbox:
        assert outbox.stats().dropped_events == 3


def test_a_cap_below_one_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="max_events"):
        Outbox(path, max_events=0)


def test_state_survives(path: Path) -> None:
    with closing(Outbox(path)) as outbox:
        assert outbox.get_state("alarm") is None
        outbox.set_state("alarm", {"state": "pending"})
        outbox.set_state("alarm", {"state": "disarmed"})
        outbox.set_state("detect", {"porch": False})
    with closing(Outbox(path)) as outbox:
        assert outbox.get_state("alarm") == {"state": "disarmed"}
        assert outbox.states() == {"alarm": {"state": "disarmed"}, "detect": {"porch": False}}


def test_files_are_the_owners_alone(outbox: Outbox, path: Path) -> None:
    put_alert(outbox, "a")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"outbox.db": 0o600, "outbox.db-wal": 0o600, "outbox.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_alerts_and_state_wait_for_the_disk_and_the_rest_does_not(outbox: Outbox) -> None:
    def level() -> int:
        return int(outbox._database.read("PRAGMA synchronous")[0][0])

    put_alert(outbox, "a")
    assert level() == 2
    outbox.done([1])
    assert level() == 1
    outbox.set_state("alarm", {})
    assert level() == 2
    outbox.put_many([an_event("e")])
    assert level() == 1
    assert outbox._database.read("PRAGMA journal_mode") == [("wal",)]


CHILD = """
import sys
from pathlib import Path
from detector.alerts.outbox_db import Outbox
outbox = Outbox(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    entry = outbox.put(kind="alert", key=f"{sys.argv[2]}-{number}", topic="t",
                       payload={"x": "y" * 300}, created_wall=1.0)
    print(entry.seq, entry.payload["seq"], entry.key, flush=True)
    if number % 4 == 0:
        outbox.done([entry.seq])
        print("done", entry.seq, flush=True)
"""


def _acknowledged(path: Path, name: str, lines: int) -> list[list[str]]:
    """What a child said until it was killed after `lines` lines, without a line cut off by the kill."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(path), name], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        said += child.stdout.read().splitlines(keepends=True)
    assert child.returncode == -signal.SIGKILL
    return [line.split() for line in said if line.endswith("\n")]


def test_nothing_acknowledged_is_lost_to_sigkill(path: Path) -> None:
    """Every put that was acknowledged is there; a kill between a commit and its line may leave one step more."""
    waiting: set[int] = set()
    last = Counters()
    for round_ in range(6):
        for words in _acknowledged(path, f"r{round_}", 5 + 17 * round_):
            if words[0] == "done":
                waiting.remove(int(words[1]))
                continue
            seq, count = int(words[0]), int(words[1])
            assert (seq > last.seq, count) == (True, last.alerts + 1)
            last = Counters(seq=seq, alerts=count)
            waiting.add(seq)
            deletes_next = int(words[2].partition("-")[2]) % 4 == 0
        with closing(Outbox(path)) as outbox:
            found = {entry.seq for entry in outbox.pending(100_000)}
            assert waiting - found <= ({last.seq} if deletes_next else set())
            assert found - waiting <= {last.seq + 1}
            waiting, last = found, outbox.counters
