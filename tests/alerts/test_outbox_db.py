"""The outbox's file: order, durability, what a SIGKILL leaves, files of earlier versions."""

from __future__ import annotations

import json
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from detector.alerts.database import open_or_set_aside
from detector.alerts.outbox import Outbox
from detector.alerts.outbox_db import LAYOUT, OutboxBatch, OutboxFile
from detector.alerts.outbox_entries import Counters, Entry, Kind
from support.outboxes import PAGE, file_entries, number, on_disk, opened, put, waiting


def entry(seq: int, key: str, kind: Kind = "alert", **changes: object) -> Entry:
    made = {"seq": seq, "kind": kind, "key": key, "topic": "t", "payload": b'{"x":"y"}', "created_wall": 1.0}
    return Entry(**(made | changes))  # type: ignore[arg-type]


def test_what_is_written_comes_back_in_order(path: Path) -> None:
    entries = [entry(3, "a"), entry(4, "e", "event", droppable=True), entry(7, "b", payload='{"n":"Tür"}'.encode())]
    with closing(opened(path)) as file:
        file.write(OutboxBatch(entries=entries, counters=Counters(seq=7, alerts=2)))
        assert file_entries(file) == entries
        assert file.pending("alert", after_seq=3, limit=5) == ([entries[2]], [])
        assert file.counts() == {"alert": 2, "event": 1}
        assert file.bytes() >= PAGE
    with closing(opened(path)) as file:
        assert file_entries(file) == entries
        assert file.counters() == Counters(seq=7, alerts=2)
        file.write(OutboxBatch(done=frozenset({3, 99})))
        assert file.counters() == Counters(seq=7, alerts=2), "numbers never go back"
    assert on_disk(path) == ["e", "b"]


def test_a_batch_may_be_repeated(path: Path) -> None:
    batch = OutboxBatch(entries=[entry(1, "a")], states={"alarm": {"n": 1}}, counters=Counters(seq=1, alerts=1))
    with closing(opened(path)) as file:
        file.write(batch)
        file.write(batch)
        assert file_entries(file) == [entry(1, "a")]
        assert file.states() == {"alarm": {"n": 1}}


def test_the_deletion_of_an_alert_makes_way_for_one_of_the_same_key(path: Path) -> None:
    with closing(opened(path)) as file:
        file.write(OutboxBatch(entries=[entry(1, "a")]))
        file.write(OutboxBatch(entries=[entry(2, "a")], done=frozenset({1})))
        assert [one.seq for one in file_entries(file)] == [2]


def test_files_are_the_owners_alone(path: Path) -> None:
    with closing(opened(path)) as file:
        file.write(OutboxBatch(entries=[entry(1, "a")]))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"outbox.db": 0o600, "outbox.db-wal": 0o600, "outbox.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("batch", "level"),
    [
        (OutboxBatch(entries=[entry(1, "a")]), 2),
        (OutboxBatch(states={"alarm": {}}), 2),
        (OutboxBatch(entries=[entry(1, "a"), entry(2, "e", "event")], done=frozenset({5})), 2),
        (OutboxBatch(done=frozenset({5})), 1),
        (OutboxBatch(entries=[entry(1, "e", "event")]), 1),
    ],
)
def test_alerts_and_states_wait_for_the_disk_and_the_rest_does_not(path: Path, batch: OutboxBatch, level: int) -> None:
    database = open_or_set_aside(path, LAYOUT)
    with closing(OutboxFile(database, max_events=5)) as file:
        file.write(batch)
        assert database.read("PRAGMA synchronous") == [(level,)]
        assert database.read("PRAGMA journal_mode") == [("wal",)]


def test_a_file_of_the_first_version_is_read_on(path: Path) -> None:
    path.parent.mkdir(parents=True)
    payload = '{"id":"a","seq":41,"confirmed_at":"2026-09-21T14:13:20.375Z"}'
    with closing(sqlite3.connect(path)) as old, old:
        old.executescript(LAYOUT.migrations[0])
        old.execute(f"PRAGMA application_id={LAYOUT.application_id}")
        old.execute("PRAGMA user_version=1")
        row = "INSERT INTO entries (seq, kind, key, topic, payload, created_wall, sent, is_update) VALUES (?,?,?,?,?,?,?,?)"
        old.execute(row, (88, "alert", "a", "t", payload, 5.0, 1, 0))
        old.execute(row, (89, "event", "e", "t", "{}", 6.0, 0, 1))
        old.execute("UPDATE sqlite_sequence SET seq = 90")
        old.execute("UPDATE counters SET value = 41 WHERE id = 1")
        old.execute("INSERT INTO state (name, value) VALUES ('alarm', '{\"state\":\"disarmed\"}')")
    with closing(Outbox(path)) as outbox:
        first, second = waiting(outbox)
        assert (first.seq, first.key, first.payload.decode()) == (88, "a", payload)
        assert second.droppable
        assert outbox.get_state("alarm") == {"state": "disarmed"}
        following = put(outbox, "b")
        assert (following.seq, number(following)) == (91, 42)
    with closing(sqlite3.connect(path)) as new:
        assert "sent" not in [row[1] for row in new.execute("PRAGMA table_info(entries)")]


CHILD = """
import json, sys
from pathlib import Path
from detector.alerts.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    entry = outbox.put(kind="alert", key=f"{sys.argv[2]}-{number}", topic="t",
                       document={"x": "y" * 300}, created_wall=1.0)
    outbox.flush()
    assert outbox.hold_s(entry) == 0.0 and outbox.stats().fault is None
    print(entry.seq, json.loads(entry.payload)["seq"], entry.key, flush=True)
    if number % 4 == 0:
        outbox.done([entry.seq])
        outbox.flush()
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


def test_nothing_that_was_written_is_lost_to_sigkill(path: Path) -> None:
    """Every put that was on the disk is there; a kill between a commit and its line may leave one step more."""
    owed: set[int] = set()
    last = Counters()
    for round_ in range(6):
        for words in _acknowledged(path, f"r{round_}", 5 + 17 * round_):
            if words[0] == "done":
                owed.remove(int(words[1]))
                continue
            seq, count = int(words[0]), int(words[1])
            assert (seq > last.seq, count) == (True, last.alerts + 1)
            last = Counters(seq=seq, alerts=count)
            owed.add(seq)
            deletes_next = int(words[2].partition("-")[2]) % 4 == 0
        with closing(opened(path)) as file:
            found = {one.seq for one in file_entries(file)}
            assert all(json.loads(one.payload) for one in file_entries(file))
            assert owed - found <= ({last.seq} if deletes_next else set())
            assert found - owed <= {last.seq + 1}
            owed, last = found, file.counters()
