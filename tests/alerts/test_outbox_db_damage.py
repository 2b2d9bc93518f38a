"""The outbox on a disk that fails: damage, no room, files that are not its own."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from detector.alerts import database
from detector.alerts.database import SchemaLayout
from detector.alerts.outbox import Outbox
from detector.alerts.outbox_db import LAYOUT, OutboxBatch
from detector.alerts.outbox_entries import Entry
from detector.core.errors import StorageError
from support.outboxes import PAGE, file_entries, keys, number, on_disk, opened, put
from support.visits import full_disk


def _damage(path: Path, start: int, length: int, fill: bytes = b"\xa5") -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(fill * length)


def _filled(path: Path, count: int) -> None:
    with closing(Outbox(path)) as outbox:
        outbox.save_state("alarm", {"state": "disarmed"})
        for n in range(count):
            put(outbox, f"a{n}", x="y" * 900)


def _asides(path: Path) -> list[Path]:
    return sorted(path.parent.glob("outbox.db.damaged-*Z"))


def test_a_damaged_file_is_set_aside_whole_and_numbers_go_on(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _filled(path, 400)
    _damage(path, path.stat().st_size // 2, 3 * PAGE)
    damaged = path.read_bytes()
    with closing(Outbox(path)) as outbox:
        assert keys(outbox) == []
        assert outbox.stats().fault is None
        following = put(outbox, "next")
        assert (following.seq, number(following)) == (401, 401)
    (aside,) = _asides(path)
    assert aside.read_bytes() == damaged
    assert aside.name in caplog.text
    assert on_disk(path) == ["next"]


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 500, b"\x00" * PAGE, b"SQLite format 3\x00" + b"\xff" * 9000]
)
def test_rubbish_is_set_aside_and_numbers_go_on_above_any_used(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with closing(Outbox(path)) as outbox:
        entry = put(outbox, "a")
        assert entry.seq > 1_700_000_000 << 20
        assert 1_700_000_000 < number(entry) < 2**53
    assert _asides(path)[0].read_bytes() == content
    assert on_disk(path) == ["a"]


def test_damage_that_shows_later_costs_nothing_that_memory_holds(path: Path) -> None:
    _filled(path, 30)
    with closing(Outbox(path)) as outbox:
        outbox.done([1])
        _damage(path, 0, path.stat().st_size)
        path.with_name("outbox.db-wal").write_bytes(b"")
        put(outbox, "after")
        assert outbox._file is not None
        outbox._file._database.read("PRAGMA shrink_memory")  # or SQLite would still see its sound copies
        outbox.flush()
        assert outbox.stats().fault is None
        assert keys(outbox) == [*(f"a{n}" for n in range(1, 30)), "after"]
        assert outbox.get_state("alarm") == {"state": "disarmed"}
        assert number(put(outbox, "b")) == 32
    assert len(_asides(path)) == 1
    assert on_disk(path) == [*(f"a{n}" for n in range(1, 30)), "after", "b"]


def test_only_the_newest_damaged_files_are_kept(path: Path) -> None:
    path.parent.mkdir()
    for n in range(7):
        path.write_bytes(b"rubbish %d" % n * 1000)
        Outbox(path).close()
    assert [aside.read_bytes()[:9] for aside in _asides(path)] == [b"rubbish %d" % n for n in range(2, 7)]


def test_a_damaged_file_that_cannot_be_replaced_stays_and_alerts_go_on(path: Path) -> None:
    _filled(path, 50)
    _damage(path, path.stat().st_size // 2, 3 * PAGE)
    damaged = path.read_bytes()
    with full_disk():
        outbox = Outbox(path)
        assert outbox.stats().fault is not None
        assert number(put(outbox, "a")) == 51
    outbox.close()
    assert on_disk(path) == ["a"]
    assert _asides(path)[0].read_bytes() == damaged


def test_a_full_disk_says_so_and_loses_nothing(path: Path) -> None:
    with closing(opened(path)) as file:
        file.write(OutboxBatch(entries=[_alert(1, "before")]))
        file._database._connection.execute("PRAGMA max_page_count=1")
        with pytest.raises(StorageError, match=r"no room to write .*outbox\.db: free some space"):
            file.write(OutboxBatch(entries=[_alert(2, "big", b'{"x":"%s"}' % (b"y" * 50_000))]))
        file._database._connection.execute("PRAGMA max_page_count=1000000")
        file.write(OutboxBatch(entries=[_alert(2, "after")]))
        assert [entry.key for entry in file_entries(file)] == ["before", "after"]


def _alert(seq: int, key: str, payload: bytes = b"{}") -> Entry:
    return Entry(seq=seq, kind="alert", key=key, topic="t", payload=payload, created_wall=0.0)


def test_writes_that_the_system_refuses(path: Path) -> None:
    with closing(opened(path)) as file:
        file.write(OutboxBatch(entries=[_alert(1, "before")]))
        with full_disk(), pytest.raises(StorageError):
            file.write(OutboxBatch(entries=[_alert(2, "lost")]))
        assert [entry.key for entry in file_entries(file)] == ["before"]


def test_a_file_that_cannot_be_written(path: Path) -> None:
    with closing(opened(path)) as file:
        file._database._connection.execute("PRAGMA query_only=1")
        with pytest.raises(StorageError, match="not writable: give this user write access"):
            file.write(OutboxBatch(entries=[_alert(1, "a")]))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    if was_root := os.geteuid() == 0:
        os.seteuid(65534)  # root writes everywhere
    try:
        with pytest.raises(StorageError, match="not writable"):
            opened(tmp_path / "outbox.db")
    finally:
        if was_root:
            os.seteuid(0)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StorageError, match="cannot be used"):
        opened(tmp_path / "data" / "outbox.db")


def test_a_file_that_was_deleted_in_use_is_noticed(path: Path) -> None:
    with closing(opened(path)) as file:
        path.unlink()
        assert not file.in_place()
        with pytest.raises(StorageError, match="moved or deleted"):
            file.write(OutboxBatch(entries=[_alert(1, "a")]))


def test_a_file_that_another_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BUSY_S", 0.05)
    with closing(opened(path)) as file, closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="held by another process"):
            file.write(OutboxBatch(entries=[_alert(1, "a")]))


def test_another_programs_file_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(StorageError, match="another program"):
        opened(path)
    with closing(Outbox(path)) as outbox:
        assert "another program" in str(outbox.stats().fault)
        assert keys(outbox) == []
    # It was switched to WAL before it was looked at: that changes two header bytes and no content.
    assert path.read_bytes()[100:] == before[100:]


def test_a_newer_detectors_file_is_left_alone(path: Path) -> None:
    opened(path).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version=99")
    with pytest.raises(StorageError, match="newer detector"):
        opened(path)


def test_a_failed_migration_changes_nothing(path: Path) -> None:
    _filled(path, 2)
    broken = SchemaLayout(
        application_id=LAYOUT.application_id,
        migrations=(*LAYOUT.migrations, "ALTER TABLE entries ADD COLUMN note TEXT; CREATE TABLE state (x)"),
    )
    with pytest.raises(StorageError):
        database.Database(path=path, layout=broken)
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (len(LAYOUT.migrations),)
        assert "note" not in [row[1] for row in raw.execute("PRAGMA table_info(entries)")]
    assert on_disk(path) == ["a0", "a1"]


def test_a_reader_beside_does_not_disturb(path: Path) -> None:
    """Another connection holds a snapshot open while entries come and go."""
    with closing(Outbox(path)) as outbox:
        put(outbox, "first")
        outbox.flush()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN")
            assert other.execute("SELECT count(*) FROM entries").fetchone() == (1,)
            for n in range(50):
                entry = put(outbox, f"a{n}")
                outbox.done([entry.seq - 1])
                outbox.flush()
            assert other.execute("SELECT count(*) FROM entries").fetchone() == (1,)
        assert keys(outbox) == ["a49"]
        assert outbox.stats().fault is None
    assert on_disk(path) == ["a49"]
