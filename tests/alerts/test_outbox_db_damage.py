"""The outbox on a disk that fails: damage, no room, files that are not its own."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from detector.alerts import database, outbox_db
from detector.alerts.outbox_db import LAYOUT, Outbox
from detector.alerts.outbox_entries import Counters, Entry, NewEntry
from detector.core.errors import StorageError
from support.outboxes import PAGE, keys, put_alert
from support.visits import full_disk


def _damage(path: Path, start: int, length: int, fill: bytes = b"\xa5") -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(fill * length)


def _filled(path: Path, count: int) -> None:
    with closing(Outbox(path)) as outbox:
        outbox.set_state("alarm", {"state": "disarmed"})
        outbox.put_many(
            [
                NewEntry(kind="alert", key=f"a{n}", topic="t", payload={"n": n, "x": "y" * 900}, created_wall=n)
                for n in range(count)
            ]
        )


def test_a_damaged_file_is_set_aside_and_what_can_be_read_is_kept(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _filled(path, 400)
    whole = path.read_bytes()
    _damage(path, len(whole) // 2, 3 * PAGE)
    damaged = path.read_bytes()
    with closing(Outbox(path)) as outbox:
        entries = outbox.pending(1000)
        kept = {entry.payload["n"] for entry in entries}
        assert len(kept) >= 380  # three pages of 4 rows each are gone, before and behind them all is there
        assert {0, 399} <= kept
        assert [entry.seq for entry in entries] == sorted(entry.payload["n"] + 1 for entry in entries)
        assert outbox.get_state("alarm") == {"state": "disarmed"}
        entry = put_alert(outbox, "next")
        assert (entry.seq, entry.payload["seq"]) == (401, 401)
    aside = path.with_name("outbox.db.corrupt-1")
    assert aside.read_bytes() == damaged
    assert f"{len(kept)} entries saved" in caplog.text
    assert not path.with_name("outbox.db.rebuild").exists()


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 500, b"\x00" * PAGE, b"SQLite format 3\x00" + b"\xff" * 9000]
)
def test_rubbish_is_set_aside_and_numbers_go_on_above_any_used(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with closing(Outbox(path)) as outbox:
        entry = put_alert(outbox, "a")
        assert entry.seq > 1_700_000_000 << 20
        assert 1_700_000_000 < entry.payload["seq"] < 2**53
    assert path.with_name("outbox.db.corrupt-1").read_bytes() == content


def test_damage_that_shows_later_is_repaired_in_the_same_call(path: Path) -> None:
    _filled(path, 4000)
    with closing(Outbox(path)) as outbox:
        size = path.stat().st_size
        _damage(path, size // 3, 2 * PAGE)
        entries = outbox.pending(10_000)
        assert 3900 < len(entries) < 4000
        assert outbox.stats().pending_alerts in (len(entries), 4000)
        put_alert(outbox, "after")
        assert outbox.stats().pending_alerts == len(entries) + 1
    assert path.with_name("outbox.db.corrupt-1").exists()


def test_only_the_newest_damaged_files_are_kept(path: Path) -> None:
    path.parent.mkdir()
    for number in range(6):
        path.write_bytes(b"rubbish %d" % number * 1000)
        Outbox(path).close()
    names = sorted(file.name for file in path.parent.glob("*.corrupt-*"))
    assert names == [f"outbox.db.corrupt-{number}" for number in range(2, 7)]


def test_a_repair_that_was_cut_off_is_finished(path: Path) -> None:
    _filled(path, 3)
    path.rename(path.with_name("outbox.db.rebuild"))
    path.with_name("outbox.db-wal").write_bytes(b"the log of the damaged file")
    with closing(Outbox(path)) as outbox:
        assert keys(outbox) == ["a0", "a1", "a2"]


def test_a_repair_without_room_leaves_the_damaged_file(path: Path) -> None:
    _filled(path, 50)
    _damage(path, 5 * PAGE, PAGE)
    damaged = path.read_bytes()
    with full_disk(), pytest.raises(StorageError):
        Outbox(path)
    assert path.read_bytes() == damaged
    with closing(Outbox(path)) as outbox:
        assert len(outbox.pending(100)) >= 40


def test_a_rotten_entry_blocks_nobody(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _filled(path, 5)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE entries SET payload = '{\"n\": 1' WHERE seq = 2")
        raw.execute("UPDATE entries SET payload = CAST(x'7B226E223AFF7D' AS TEXT) WHERE seq = 3")
        raw.execute("UPDATE entries SET payload = '[]' WHERE seq = 4")
        raw.execute("INSERT INTO state (name, value) VALUES ('rotten', '{'), ('list', '[]')")
    with closing(Outbox(path)) as outbox:
        assert [entry.key for entry in outbox.pending(2)] == ["a0", "a4"]
        assert outbox.stats().pending_alerts == 2
        assert outbox.get_state("rotten") is None
        assert outbox.get_state("list") is None
        assert set(outbox.states()) == {"alarm"}
    assert "entry 2 of the outbox is not readable" in caplog.text


def test_an_alert_whose_waiting_entry_is_rotten_is_written_anew(path: Path) -> None:
    _filled(path, 2)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE entries SET payload = '{' WHERE seq = 1")
    with closing(Outbox(path)) as outbox:
        assert put_alert(outbox, "a0").seq == 3
        assert keys(outbox) == ["a1", "a0"]


def test_rotten_rows_are_left_behind_by_a_repair(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _filled(path, 200)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE entries SET payload = '{' WHERE seq = 1")
        raw.execute("UPDATE counters SET value = 'rotten' WHERE id = 1")
    _damage(path, path.stat().st_size // 2, PAGE)
    with closing(Outbox(path)) as outbox:
        assert "a0" not in keys(outbox)
        assert put_alert(outbox, "b").payload["seq"] > 1_700_000_000
    assert "entry 1 of the damaged outbox" in caplog.text


def test_a_full_disk_says_so_and_loses_nothing(outbox: Outbox) -> None:
    put_alert(outbox, "before")
    outbox._database._connection.execute("PRAGMA max_page_count=1")
    with pytest.raises(StorageError, match=r"no room to write .*outbox\.db: free some space"):
        outbox.put_many([NewEntry(kind="alert", key="big", topic="t", payload={"x": "y" * 50_000}, created_wall=0.0)])
    outbox._database._connection.execute("PRAGMA max_page_count=1000000")
    assert keys(outbox) == ["before"]
    put_alert(outbox, "after")
    assert keys(outbox) == ["before", "after"]


def test_writes_that_the_system_refuses(outbox: Outbox) -> None:
    put_alert(outbox, "before")
    with full_disk(), pytest.raises(StorageError):
        put_alert(outbox, "lost")
    assert keys(outbox) == ["before"]
    assert put_alert(outbox, "after").payload["seq"] == 2


def test_a_file_that_cannot_be_written(outbox: Outbox) -> None:
    outbox._database._connection.execute("PRAGMA query_only=1")
    with pytest.raises(StorageError, match="not writable: give this user write access"):
        put_alert(outbox, "a")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    if was_root := os.geteuid() == 0:
        os.seteuid(65534)  # root writes everywhere
    try:
        with pytest.raises(StorageError, match="not writable"):
            Outbox(tmp_path / "outbox.db")
    finally:
        if was_root:
            os.seteuid(0)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StorageError, match="cannot be used"):
        Outbox(tmp_path / "data" / "outbox.db")


def test_a_file_that_was_deleted_in_use_is_noticed(outbox: Outbox, path: Path) -> None:
    put_alert(outbox, "a")
    path.unlink()
    with pytest.raises(StorageError, match="moved or deleted"):
        put_alert(outbox, "b")


def test_a_file_that_another_holds(outbox: Outbox, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BUSY_S", 0.05)
    with closing(Outbox(path)) as second, closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="held by another process"):
            put_alert(second, "a")


def test_another_programs_file_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(StorageError, match="another program"):
        Outbox(path)
    # It was switched to WAL before it was looked at: that changes two header bytes and no content.
    assert path.read_bytes()[100:] == before[100:]


def test_a_newer_detectors_file_is_left_alone(path: Path) -> None:
    Outbox(path).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version=99")
    with pytest.raises(StorageError, match="newer detector"):
        Outbox(path)


def test_an_older_file_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _filled(path, 2)
    newer = database.SchemaLayout(
        application_id=LAYOUT.application_id,
        migrations=(*LAYOUT.migrations, "ALTER TABLE entries ADD COLUMN note TEXT"),
    )
    monkeypatch.setattr(outbox_db, "LAYOUT", newer)
    with closing(Outbox(path)) as outbox:
        assert outbox._database.read("PRAGMA user_version") == [(2,)]
        assert keys(outbox) == ["a0", "a1"]


def test_a_failed_migration_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _filled(path, 2)
    broken = database.SchemaLayout(
        application_id=LAYOUT.application_id,
        migrations=(*LAYOUT.migrations, "ALTER TABLE entries ADD COLUMN note TEXT; CREATE TABLE state (x)"),
    )
    with monkeypatch.context() as patched:
        patched.setattr(outbox_db, "LAYOUT", broken)
        with pytest.raises(StorageError):
            Outbox(path)
    with closing(Outbox(path)) as outbox:
        assert keys(outbox) == ["a0", "a1"]
        assert len(outbox._database.read("PRAGMA table_info(entries)")) == 8


def test_adopted_entries_keep_their_numbers(outbox: Outbox) -> None:
    put_alert(outbox, "a")
    kept = Entry(seq=7, kind="alert", key="b", topic="t", payload={"seq": 4}, created_wall=1.0, sent=True)
    for _ in range(2):  # a repetition changes nothing
        outbox.adopt([kept], counters=Counters(seq=9, alerts=6))
    assert outbox.pending(10, after_seq=1) == [kept]
    assert (put_alert(outbox, "c").seq, outbox.counters.alerts) == (10, 7)


def test_readers_do_not_disturb(outbox: Outbox, path: Path) -> None:
    """Threads read the figures, another connection holds a snapshot open, while entries come and go."""
    stop, faults = threading.Event(), list[BaseException]()

    def read() -> None:
        try:
            while not stop.is_set():
                figures = outbox.stats()
                assert 0 <= figures.pending_alerts <= 50
                seqs = [entry.seq for entry in outbox.pending(50)]
                assert seqs == sorted(set(seqs))
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=read) for _ in range(2)]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        put_alert(outbox, "first")
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM entries").fetchone() == (1,)
        for thread in threads:
            thread.start()
        for number in range(50):
            entry = put_alert(outbox, f"a{number}")
            outbox.done([entry.seq - 1])
        stop.set()
        for thread in threads:
            thread.join(10)
        assert other.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    assert faults == []
    assert keys(outbox) == ["a49"]


def test_payloads_are_stored_as_they_are_sent(outbox: Outbox) -> None:
    put_alert(outbox, "a", name="Tür", zones=("x",))
    text = outbox._database.read("SELECT payload FROM entries")[0][0]
    assert text == '{"id":"a","name":"Tür","zones":["x"],"seq":1}'
    assert outbox.pending(1)[0].payload == json.loads(text)
