"""The outbox's file, on SQLite: what waits for the broker, the last numbers given out, small state documents.

Used by one thread at a time, that of `Outbox.run`.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detector.core.types import JsonObject

from .database import Database, Row, SchemaLayout, connect
from .outbox_entries import KINDS, Counters, Entry, Kind, unknown_counters
from .payloads import encode

log = logging.getLogger(__name__)

_ALERTS_NUMBERED, _EVENTS_DROPPED, _LAST_SEQ = 1, 2, 3  # counters.id
_COLUMNS = "seq, kind, key, topic, payload, created_wall, is_update"
_SAVE_STATE = "INSERT INTO state (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
LAYOUT = SchemaLayout(
    application_id=0x64746F62,  # "dtob"
    migrations=(
        """
        CREATE TABLE entries (
          seq INTEGER PRIMARY KEY AUTOINCREMENT,
          kind TEXT NOT NULL,
          key TEXT NOT NULL,
          topic TEXT NOT NULL,
          payload TEXT NOT NULL,
          created_wall REAL NOT NULL,
          sent INTEGER NOT NULL,
          is_update INTEGER NOT NULL
        );
        CREATE UNIQUE INDEX alert_key ON entries (key) WHERE kind = 'alert';
        CREATE INDEX droppable ON entries (is_update DESC, seq) WHERE kind = 'event';
        CREATE TABLE counters (id INTEGER PRIMARY KEY, value INTEGER NOT NULL);
        CREATE TABLE state (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, value TEXT NOT NULL);
        INSERT INTO counters (id, value) VALUES (1, 0), (2, 0);
        INSERT INTO sqlite_sequence (name, seq) VALUES ('entries', 0);
        """,
        # Without `sent`, which nothing reads, and with the last `seq` among the counters.
        """
        CREATE TABLE waiting (
          seq INTEGER PRIMARY KEY,
          kind TEXT NOT NULL,
          key TEXT NOT NULL,
          topic TEXT NOT NULL,
          payload TEXT NOT NULL,
          created_wall REAL NOT NULL,
          is_update INTEGER NOT NULL
        );
        INSERT INTO waiting SELECT seq, kind, key, topic, payload, created_wall, is_update FROM entries;
        INSERT INTO counters (id, value) SELECT 3, seq FROM sqlite_sequence WHERE name = 'entries';
        DROP TABLE entries;
        ALTER TABLE waiting RENAME TO entries;
        CREATE UNIQUE INDEX alert_key ON entries (key) WHERE kind = 'alert';
        CREATE INDEX droppable ON entries (is_update DESC, seq) WHERE kind = 'event';
        CREATE INDEX by_kind ON entries (kind, seq);
        """,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxBatch:
    """What one transaction writes: deletions first, then new entries, states and the last numbers."""

    entries: Collection[Entry] = ()
    done: frozenset[int] = frozenset()
    states: Mapping[str, JsonObject] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)

    @property
    def durable(self) -> bool:
        """Alerts and states must survive a power cut. Deletions need not: it would cost a duplicate, no loss."""
        return bool(self.states) or any(entry.kind == "alert" for entry in self.entries)


def last_numbers(path: Path) -> Counters:
    """Where to count on when `path` cannot be opened as usual: full or read-only disk, damage elsewhere in it.

    Zero where there is no file yet, what the file and the log beside it say, or else above any used. Writes nothing.
    """
    try:
        if path.stat().st_size == 0:
            return Counters()
        with closing(connect(path)) as connection:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # the log's index in memory instead of a -shm file
            return _counters(lambda sql: connection.execute(sql).fetchall())
    except FileNotFoundError:
        return Counters()
    except (OSError, sqlite3.Error, ValueError, TypeError, IndexError):
        return unknown_counters()


def _counters(read: Callable[[str], list[Row]]) -> Counters:
    values = {key: int(value) for key, value in read("SELECT id, value FROM counters")}
    if _LAST_SEQ not in values:  # a file of before the second migration
        values[_LAST_SEQ] = int(read("SELECT max(seq) FROM sqlite_sequence")[0][0])
    try:
        return Counters(seq=values[_LAST_SEQ], alerts=values[_ALERTS_NUMBERED], dropped=values[_EVENTS_DROPPED])
    except KeyError:
        raise ValueError("a counter is missing") from None


def _entry(row: Row) -> Entry:
    seq, kind, key, topic, payload, created_wall, is_update = row
    if kind not in KINDS or not isinstance(json.loads(payload), dict):
        raise ValueError("not an entry")
    return Entry(
        seq=seq,
        kind=kind,
        key=key,
        topic=topic,
        payload=payload.encode(),
        created_wall=float(created_wall),
        droppable=bool(is_update),
    )


class OutboxFile:
    """The open file; raises StorageError, DamagedError where the file is not sound."""

    def __init__(self, database: Database, *, max_events: int) -> None:
        self._database, self._max_events = database, max_events

    def counters(self) -> Counters:
        """The last numbers given out, as of the last transaction."""
        return _counters(self._database.read)

    def counts(self) -> dict[Kind, int]:
        """How many entries of each kind wait here."""
        rows: dict[str, int] = dict(self._database.read("SELECT kind, count(*) FROM entries GROUP BY kind"))
        return {kind: rows.get(kind, 0) for kind in KINDS}

    def states(self) -> dict[str, dict[str, Any]]:
        """All state documents that can be read."""
        found: dict[str, dict[str, Any]] = {}
        for name, value in self._database.read("SELECT name, value FROM state"):
            try:
                document = json.loads(value)
            except ValueError:
                document = None
            if isinstance(document, dict):
                found[name] = document
            else:
                log.error("the kept state %r is not readable and is forgotten", name)
        return found

    def pending(self, kind: Kind, *, after_seq: int, limit: int) -> tuple[list[Entry], list[int]]:
        """The first `limit` rows of a kind behind `after_seq`, in order: entries, and numbers of unreadable ones."""
        sql = f"SELECT {_COLUMNS} FROM entries WHERE kind = ? AND seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 - own names
        entries: list[Entry] = []
        rotten: list[int] = []
        for row in self._database.read(sql, (kind, after_seq, limit)):
            try:
                entries.append(_entry(row))
            except (ValueError, TypeError, AttributeError):
                log.error("entry %s of the outbox is not readable and is lost", row[0])  # noqa: TRY400 - the stack says nothing
                rotten.append(row[0])
        return entries, rotten

    def write(self, batch: OutboxBatch) -> list[Entry]:
        """One transaction, whole or not at all; returns the events that had to go because there are too many."""
        with self._database.write(durable=batch.durable) as connection:
            connection.executemany("DELETE FROM entries WHERE seq = ?", [(seq,) for seq in batch.done])
            _insert(connection, batch.entries)
            connection.executemany(
                _SAVE_STATE, [(name, encode(value).decode()) for name, value in batch.states.items()]
            )
            dropped = self._cap(connection) if any(entry.kind == "event" for entry in batch.entries) else []
            _raise_counters(connection, batch.counters, dropped=len(dropped))
        return dropped

    def _cap(self, connection: sqlite3.Connection) -> list[Entry]:
        waiting: int = connection.execute("SELECT count(*) FROM entries WHERE kind = 'event'").fetchone()[0]
        if waiting <= self._max_events:
            return []
        # Updates first: an event's start and end say more.
        sql = f"SELECT {_COLUMNS} FROM entries WHERE kind = 'event' ORDER BY is_update DESC, seq LIMIT ?"  # noqa: S608 - own names
        rows = connection.execute(sql, (waiting - self._max_events,)).fetchall()
        connection.executemany("DELETE FROM entries WHERE seq = ?", [(row[0],) for row in rows])
        return [_dropped(row) for row in rows]

    def bytes(self) -> int:
        return self._database.file_bytes()

    def in_place(self) -> bool:
        """Whether the file is still where it was opened."""
        return self._database.in_place()

    def close(self) -> None:
        self._database.close()


def _dropped(row: Row) -> Entry:
    return Entry(seq=row[0], kind="event", key=row[2], topic=row[3], payload=b"", created_wall=row[5])


def _insert(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """An alert that is there already, or the same `seq`, stays as it is: repeating a batch does no harm."""
    rows = [(e.seq, e.kind, e.key, e.topic, e.payload.decode(), e.created_wall, int(e.droppable)) for e in entries]
    connection.executemany(f"INSERT OR IGNORE INTO entries ({_COLUMNS}) VALUES (?,?,?,?,?,?,?)", rows)  # noqa: S608 - own names


def _raise_counters(connection: sqlite3.Connection, counters: Counters, *, dropped: int) -> None:
    raised = (
        (_ALERTS_NUMBERED, counters.alerts),
        (_EVENTS_DROPPED, counters.dropped + dropped),
        (_LAST_SEQ, counters.seq),
    )
    sql = "INSERT INTO counters (id, value) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET value = max(value, excluded.value)"
    connection.executemany(sql, raised)
