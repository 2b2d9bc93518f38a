"""The outbox on SQLite: what is written here before it is sent, and leaves when the broker has it.

An alert that `put` returned is on the disk, power cut or not. `seq` is the queue's order: it rises and
is never used twice, over deletions, restarts and damage. Alerts have a count of their own besides,
without gaps, which `put` writes into their payload as `seq`: a subscriber that sees 7, then 9,
missed one.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from detector.core.types import JsonObject

from .database import DamagedError, Database, Row, SchemaLayout, open_or_rebuild, readable_rows
from .outbox_entries import Counters, Entry, Kind, NewEntry, OutboxStats, is_update, next_entry, unknown_counters
from .payloads import encode

log = logging.getLogger(__name__)

MAX_EVENTS = 10_000
_T = TypeVar("_T")
_TELL_EVERY = 1000  # dropped events between two warnings
_ENTRY = "seq, kind, key, topic, payload, created_wall, sent"
_ALERT = f"SELECT {_ENTRY} FROM entries WHERE kind = 'alert' AND key = ?"  # noqa: S608 - own names
_ALERTS_NUMBERED, _EVENTS_DROPPED = 1, 2  # counters.id
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
    ),
)


def _entry(row: Row) -> Entry:
    seq, kind, key, topic, payload, created_wall, sent = row
    document = json.loads(payload)
    if kind not in ("alert", "event") or not isinstance(document, dict):
        raise ValueError("not an entry")
    return Entry(
        seq=seq, kind=kind, key=key, topic=topic, payload=document, created_wall=float(created_wall), sent=bool(sent)
    )


def _readable(rows: Iterable[Row]) -> tuple[list[Entry], list[int]]:
    """The entries of `rows`, and the numbers of those that rotted in a way SQLite does not see."""
    entries: list[Entry] = []
    rotten: list[int] = []
    for row in rows:
        try:
            entries.append(_entry(row))
        except (ValueError, TypeError):
            log.error("entry %s of the outbox is not readable and is lost", row[0])  # noqa: TRY400 - the stack says nothing
            rotten.append(row[0])
    return entries, rotten


def _insert(connection: sqlite3.Connection, entry: Entry) -> None:
    """Write `entry` with its `seq`; an alert that is there already, or the same `seq`, stays as it is."""
    row = (
        entry.seq,
        entry.kind,
        entry.key,
        entry.topic,
        encode(entry.payload).decode(),
        entry.created_wall,
        int(entry.sent),
        int(is_update(entry.kind, entry.payload)),
    )
    connection.execute(f"INSERT OR IGNORE INTO entries ({_ENTRY}, is_update) VALUES (?,?,?,?,?,?,?,?)", row)  # noqa: S608 - own names


def _read_counters(connection: sqlite3.Connection) -> Counters:
    values = dict(connection.execute("SELECT id, value FROM counters").fetchall())
    seq = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()[0]
    return Counters(seq=int(seq), alerts=int(values[_ALERTS_NUMBERED]), dropped=int(values[_EVENTS_DROPPED]))


def _raise_counters(connection: sqlite3.Connection, counters: Counters) -> None:
    raised = ((counters.alerts, _ALERTS_NUMBERED), (counters.dropped, _EVENTS_DROPPED))
    connection.executemany("UPDATE counters SET value = max(value, ?) WHERE id = ?", raised)
    # AUTOINCREMENT's own memory: from the rows alone, a number would come back after its row was deleted.
    connection.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'entries'", (counters.seq,))


def _measure(connection: sqlite3.Connection) -> OutboxStats:
    # Literal kinds, so that the partial indexes count without reading the rows.
    alerts: int = connection.execute("SELECT count(*) FROM entries WHERE kind = 'alert'").fetchone()[0]
    events: int = connection.execute("SELECT count(*) FROM entries WHERE kind = 'event'").fetchone()[0]
    oldest = connection.execute("SELECT created_wall FROM entries ORDER BY seq LIMIT 1").fetchone()
    return OutboxStats(
        pending_alerts=alerts,
        pending_events=events,
        oldest_wall=oldest[0] if oldest else None,
    )


def _salvage(old: sqlite3.Connection, new: sqlite3.Connection) -> int:
    """Copy what can be read of a damaged outbox; entries that are no longer whole are left behind."""
    saved = 0
    for row in readable_rows(old, "entries", "seq"):
        try:
            _insert(new, _entry(row[:7]))
            saved += 1
        except (ValueError, TypeError, sqlite3.IntegrityError):
            log.error("entry %s of the damaged outbox is not readable and is lost", row[0])  # noqa: TRY400 - nor here
    for _, name, value in readable_rows(old, "state", "id"):
        new.execute("INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)", (name, value))
    try:
        counters = _read_counters(old)
    except (sqlite3.Error, TypeError, ValueError, KeyError):
        counters = unknown_counters()
    _raise_counters(new, counters)
    return saved


class Outbox:
    """The queue of one device, in `path` (mode 0600); calls are safe from any thread.

    Events are capped at `max_events`: updates go first, the oldest before the newer. Alerts never go.
    A damaged file is set aside, and what can be read of it is kept. Raises StorageError.
    """

    def __init__(self, path: Path, *, max_events: int = MAX_EVENTS) -> None:
        if max_events < 1:
            raise ValueError("max_events must be at least 1")
        self._path = path
        self._max_events = max_events
        self._lock = threading.RLock()
        self._counters = Counters()
        self._figures = OutboxStats()
        self._database = self._open()
        self._run(lambda _: None, durable=False)

    @property
    def counters(self) -> Counters:
        """The last numbers given out, as of the last successful call."""
        return self._counters

    def put(self, *, kind: Kind, key: str, topic: str, payload: JsonObject, created_wall: float) -> Entry:
        """Write one entry; an alert whose `key` still waits is not written again: that entry returns."""
        return self.put_many([NewEntry(kind=kind, key=key, topic=topic, payload=payload, created_wall=created_wall)])[0]

    def put_many(self, news: Iterable[NewEntry]) -> list[Entry]:
        """Write all in one transaction, or none."""
        batch = list(news)
        durable = any(new.kind == "alert" for new in batch)
        return self._run(lambda connection: self._put_all(connection, batch), durable=durable)

    def adopt(self, entries: Iterable[Entry], *, counters: Counters) -> None:
        """Write entries that were numbered elsewhere while the disk was away, and count on from there."""
        batch = list(entries)

        def work(connection: sqlite3.Connection) -> None:
            for entry in batch:
                _insert(connection, entry)
            _raise_counters(connection, counters)
            self._cap(connection)

        self._run(work, durable=True)

    def pending(self, limit: int, after_seq: int = 0) -> list[Entry]:
        """The first `limit` entries behind `after_seq`, in order."""
        sql = f"SELECT {_ENTRY} FROM entries WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 - own names
        found: list[Entry] = []
        while len(found) < limit and (rows := self._rows(sql, (after_seq, limit - len(found)))):
            after_seq = rows[-1][0]
            entries, rotten = _readable(rows)
            found += entries
            self.done(rotten)
        return found

    def waiting_alert(self, key: str) -> Entry | None:
        """The alert of this key that waits here, if one does."""
        entries, _ = _readable(self._rows(_ALERT, (key,)))
        return entries[0] if entries else None

    def mark_sent(self, seqs: Iterable[int]) -> None:
        """Remember that these were handed to the broker: sending them again is a replay."""
        self._each(seqs, "UPDATE entries SET sent = 1 WHERE seq = ?")

    def done(self, seqs: Iterable[int]) -> None:
        """Delete these: the broker has them. Unknown numbers are no error."""
        self._each(seqs, "DELETE FROM entries WHERE seq = ?")

    def get_state(self, name: str) -> dict[str, Any] | None:
        """The small document kept under `name`; None where there is none, or it is no longer readable."""
        rows = self._rows("SELECT value FROM state WHERE name = ?", (name,))
        try:
            value = json.loads(rows[0][0]) if rows else None
        except ValueError:
            log.error("the kept state %r is not readable and is forgotten", name)  # noqa: TRY400 - nor here
            return None
        return value if isinstance(value, dict) else None

    def states(self) -> dict[str, dict[str, Any]]:
        """All that `set_state` kept."""
        names = [row[0] for row in self._rows("SELECT name FROM state ORDER BY name", ())]
        return {name: value for name in names if (value := self.get_state(name)) is not None}

    def set_state(self, name: str, value: JsonObject) -> None:
        """Keep a small document over restarts and power cuts."""
        sql = "INSERT INTO state (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        row = (name, encode(value).decode())
        self._run(lambda connection: connection.execute(sql, row), durable=True)

    def stats(self) -> OutboxStats:
        """Figures as of the last call that changed something; never waits for the disk's queue."""
        return self._figures

    def in_place(self) -> bool:
        """Whether the file is still where it was opened."""
        with self._lock:
            return self._database.in_place()

    def close(self) -> None:
        with self._lock:
            self._database.close()

    # -- inside -------------------------------------------------------------------------------------

    def _open(self) -> Database:
        return open_or_rebuild(self._path, LAYOUT, _salvage)

    def _guarded(self, work: Callable[[], _T]) -> _T:
        """Run `work`; where the file turns out to be damaged, save what can be read and run it once more."""
        with self._lock:
            try:
                return work()
            except DamagedError:
                self._database.close()
                self._database = self._open()
                return work()

    def _run(self, work: Callable[[sqlite3.Connection], _T], *, durable: bool) -> _T:
        def transaction() -> _T:
            with self._database.write(durable=durable) as connection:
                result = work(connection)
                counters, figures = _read_counters(connection), _measure(connection)
            self._tell_dropped(counters.dropped)
            self._counters = counters
            self._figures = replace(figures, dropped_events=counters.dropped, bytes=self._database.file_bytes())
            return result

        return self._guarded(transaction)

    def _rows(self, sql: str, args: tuple[object, ...]) -> list[Row]:
        return self._guarded(lambda: self._database.read(sql, args))

    def _put_all(self, connection: sqlite3.Connection, batch: list[NewEntry]) -> list[Entry]:
        counters = _read_counters(connection)
        entries = [self._put_one(connection, new, counters) for new in batch]
        _raise_counters(connection, counters)
        self._cap(connection)
        return entries

    def _put_one(self, connection: sqlite3.Connection, new: NewEntry, counters: Counters) -> Entry:
        if new.kind == "alert":
            waiting, rotten = _readable(connection.execute(_ALERT, (new.key,)).fetchall())
            if waiting:
                return waiting[0]
            connection.executemany("DELETE FROM entries WHERE seq = ?", [(seq,) for seq in rotten])
        entry = next_entry(new, counters)
        _insert(connection, entry)
        return entry

    def _cap(self, connection: sqlite3.Connection) -> None:
        waiting: int = connection.execute("SELECT count(*) FROM entries WHERE kind = 'event'").fetchone()[0]
        excess = waiting - self._max_events
        if excess <= 0:
            return
        connection.execute(
            "DELETE FROM entries WHERE seq IN"
            " (SELECT seq FROM entries WHERE kind = 'event' ORDER BY is_update DESC, seq LIMIT ?)",
            (excess,),
        )
        connection.execute("UPDATE counters SET value = value + ? WHERE id = ?", (excess, _EVENTS_DROPPED))

    def _tell_dropped(self, dropped: int) -> None:
        before = self._counters.dropped
        if dropped // _TELL_EVERY > before // _TELL_EVERY or (dropped and not before):
            log.warning("the broker has been away for long: %d events were dropped so far, no alerts", dropped)

    def _each(self, seqs: Iterable[int], sql: str) -> None:
        if numbers := [(seq,) for seq in seqs]:
            # A power cut that takes this back means one more duplicate, no loss: no need to wait for the disk.
            self._run(lambda connection: connection.executemany(sql, numbers), durable=False)
