"""What happened: each person's visit and its picture, for the API and the operators' page.

The history is a convenience; alerts do not wait for it. So writing never raises: it says False, logs
the fault once, and leaves the disk alone for a while. Reading raises StorageError, and holds no lock that
a write waits for. The service writes in one thread, `HistoryWriter`'s.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import StorageError
from detector.core.types import JsonObject

from .clips.folder import ClipFolder
from .database import DamagedError, Database, Row, SchemaLayout, open_or_set_aside, set_aside
from .payloads import APPEARANCE, PATH, clip_path, encode, parse_timestamp, unseen_event
from .snapshot_files import Snapshots

log = logging.getLogger(__name__)

Document = dict[str, Any]
_MAX_LIMIT = 1000
_DAY_S = 86_400.0
_HOUR_S = 3600.0
_ORPHAN_S = 3600.0  # a picture may be written before its visit: leave young ones alone
PRUNE_STEP = 200  # visits a transaction: some ms on a slow card, so what comes in need not wait long
_CHECKED_BYTES = 64 << 20  # a check reads the whole file: up to here that takes well under a second
_ALERT_FIELDS = ("id", "seq", "zones", "score", "captured_at", "confirmed_at")
_COLUMNS = "number, id, camera, start_time, end_time, seen, body, alerts"
# Without the path, which is most of it: SQLite leaves it out ten times as fast as Python reads it.
_SHORT = _COLUMNS.replace("body", f"CASE WHEN json_valid(body) THEN json_remove(body, '$.{PATH}') ELSE body END")
LAYOUT = SchemaLayout(
    application_id=0x64746869,  # "dthi"
    migrations=(
        """
        CREATE TABLE events (
          number INTEGER PRIMARY KEY,
          id TEXT NOT NULL UNIQUE,
          camera TEXT NOT NULL,
          start_time REAL NOT NULL,
          end_time REAL,
          seen REAL NOT NULL,
          body TEXT NOT NULL,
          alerts TEXT NOT NULL
        );
        CREATE INDEX by_start ON events (start_time, number);
        CREATE INDEX by_camera ON events (camera, start_time, number);
        CREATE INDEX still_open ON events (number) WHERE end_time IS NULL;
        """,
        # 0: its times are of a clock that was not known to be right.
        "ALTER TABLE events ADD COLUMN clock_right INTEGER NOT NULL DEFAULT 1;",
        "CREATE INDEX alerted ON events (start_time, number) WHERE alerts <> '[]';",
    ),
)
_AFTER_VISIT = "(start_time, number) > (SELECT start_time, number FROM events WHERE id = ?)"
_BEFORE_VISIT = "(start_time, number) < (SELECT start_time, number FROM events WHERE id = ?)"
_IN_ZONE = "EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(body) THEN body ELSE '{}' END, '$.entered_zones') WHERE value = ?)"
_ALERTED = {None: (), True: ("alerts <> '[]'",), False: ("alerts = '[]'",)}
# An end closes an open visit whatever its time says: the clock may have been set back meanwhile.
_UPSERT = """
INSERT INTO events (id, camera, start_time, end_time, seen, body, clock_right, alerts) VALUES (?, ?, ?, ?, ?, ?, ?, '[]')
ON CONFLICT (id) DO UPDATE SET end_time = max(excluded.end_time, start_time), seen = excluded.seen,
  body = excluded.body, clock_right = excluded.clock_right, start_time = min(start_time, excluded.start_time)
WHERE excluded.seen >= events.seen OR (events.end_time IS NULL AND excluded.end_time IS NOT NULL)
"""
# A visit whose time is not certain goes once one that was recorded after it is too old for certain; what is too many
# goes by the order of recording, which no clock changes.
_TOO_OLD = """
SELECT id FROM events WHERE end_time IS NOT NULL AND (
  (clock_right AND end_time < :cutoff)
  OR (NOT clock_right AND number < (SELECT max(number) FROM events WHERE clock_right AND end_time < :cutoff))
  OR number IN (SELECT number FROM events ORDER BY number DESC LIMIT -1 OFFSET :most)
) ORDER BY number LIMIT :limit
"""


def _record(connection: sqlite3.Connection, after: Mapping[str, Any], *, clock_right: bool) -> None:
    start, end = after["start_time"], after["end_time"]
    known = (after["id"], after["camera"], start, None if end is None else max(start, end), after["frame_time"])
    connection.execute(_UPSERT, (*known, encode(after).decode(), clock_right))


def _mark_alerted(connection: sqlite3.Connection, alert: Mapping[str, Any], *, clock_right: bool) -> None:
    find, event_id = "SELECT alerts FROM events WHERE id = ?", alert["event_id"]
    row = connection.execute(find, (event_id,)).fetchone()
    if row is None:  # a crash took the visit's own news, the alert survived in the outbox
        _record(connection, unseen_event(alert), clock_right=clock_right)
    known = _alerts(row[0]) if row else []
    if all(one.get("id") != alert["id"] for one in known):
        short = {name: alert[name] for name in _ALERT_FIELDS if name in alert}
        text = json.dumps([*known, short], allow_nan=False)
        connection.execute("UPDATE events SET alerts = ? WHERE id = ?", (text, event_id))


class History:
    """Visits in `path` and their pictures in `snapshot_dir`; calls are safe from any thread.

    Kept for `keep_days` after their end, and at most `max_events`. `retry_s`: how long a failing disk is
    left alone, monotonic s. Visits that a crash left open are closed at their last sight.

    Age counts by what is certain: while `clock_synced` says that the wall clock may be wrong nothing is too old, and
    at most a day's worth of visits becomes too old in an hour.
    """

    def __init__(
        self,
        *,
        path: Path,
        snapshot_dir: Path,
        keep_days: float = 14.0,
        max_events: int = 10_000,
        clock: Clock = SYSTEM_CLOCK,
        clock_synced: Callable[[], bool] = lambda: True,
        clips: ClipFolder | None = None,
        retry_s: float = 5.0,
    ) -> None:
        if keep_days <= 0 or max_events < 1:
            raise ValueError("keep_days must be above 0 and max_events at least 1")
        self._path, self._snapshots = path, Snapshots(snapshot_dir)
        self._clips = clips or ClipFolder(snapshot_dir.with_name("clips"))
        self._keep_s, self._max_events = keep_days * _DAY_S, max_events
        self._clock, self._clock_synced, self._retry_s = clock, clock_synced, retry_s
        self._cutoff, self._next_cutoff = -math.inf, -math.inf
        self._lock = threading.RLock()
        self._database: Database | None = None
        self._closed_leftovers = False
        self._damaged = False
        self._fault: str | None = None
        self._retry_at = -math.inf
        self._write(lambda _: None)

    @property
    def fault(self) -> str | None:
        """Why nothing can be written at present; None while all is well."""
        return self._fault

    def record(self, document: JsonObject) -> bool:
        """Keep a visit as an event's `after` describes it; news older than what is known changes nothing."""
        return self.write([document], ())

    def mark_alerted(self, alert: JsonObject) -> bool:
        """Note an alert, once, with the visit that it belongs to; an unknown visit is made of what the alert says."""
        return self.write((), [alert])

    def write(self, documents: Iterable[JsonObject], alerts: Iterable[JsonObject]) -> bool:
        """`record` all documents, then `mark_alerted` all alerts, in one transaction."""
        synced, now = self._clock_synced(), self._clock.wall()

        def is_right(seen: float) -> bool:
            return synced and abs(now - seen) < _DAY_S  # stamped before the clock was set: not by the clock of now

        def work(connection: sqlite3.Connection) -> None:
            for document in documents:
                _record(connection, document, clock_right=is_right(document["frame_time"]))  # type: ignore[arg-type]
            for alert in alerts:
                _mark_alerted(connection, alert, clock_right=is_right(parse_timestamp(str(alert["captured_at"]))))

        return self._write(work)

    def save_snapshot(self, event_id: str, jpeg: bytes) -> bool:
        """Keep the visit's picture, in place of an earlier one. ValueError for an id that no visit has."""
        try:
            self._snapshots.save(event_id, jpeg)
        except StorageError as error:
            self._fail(error)
            return False
        return True

    def events(
        self,
        camera: str | None = None,
        after: float | str | None = None,
        limit: int = 50,
        *,
        before: float | str | None = None,
        zone: str | None = None,
        alerted: bool | None = None,
        whole: bool = False,
    ) -> list[Document]:
        """Visits, with their paths only where `whole`, newest first, at most `limit` (1000): begun later than `after`, earlier than `before`.

        Both are epoch seconds or a visit's id; an id that is not known gives nothing. `zone`: only those who entered
        it. `alerted`: only those that raised an alert, or only those that did not.
        """
        sql, args = _selection(camera=camera, after=after, before=before, zone=zone, alerted=alerted)
        return self._documents(
            f"SELECT {_COLUMNS if whole else _SHORT} {sql}", (*args, min(max(limit, 1), _MAX_LIMIT)), whole=whole
        )

    def event(self, event_id: str) -> Document | None:
        """One visit, its path included; None where it is not known, or no longer."""
        found = self._documents(f"SELECT {_COLUMNS} FROM events WHERE id = ?", (event_id,), whole=True)  # noqa: S608 - own names
        return found[0] if found else None

    def delete(self, event_id: str) -> bool:
        """Remove a visit that is over, with its picture and clip; False where there is none. Raises StorageError."""
        gone: list[Row] = []

        def work(connection: sqlite3.Connection) -> None:
            sql = "DELETE FROM events WHERE id = ? AND end_time IS NOT NULL RETURNING id"
            gone[:] = connection.execute(sql, (event_id,)).fetchall()

        if not self._write(work):
            raise StorageError(f"the visit was not deleted: {self._fault}")
        self._delete_pictures([row[0] for row in gone])
        return bool(gone)

    def recorded(self, event_id: str) -> Document | None:
        """One visit as it was recorded, with what is kept beside its event; None where it is not known, or no longer."""
        rows = self._rows("SELECT body FROM events WHERE id = ?", (event_id,))
        try:
            document: Document | None = json.loads(rows[0][0]) if rows else None
        except ValueError:
            return None  # `event` logs it
        return document

    def snapshot(self, event_id: str) -> bytes | None:
        """The visit's JPEG; None where there is none. Any text may come in."""
        return self._snapshots.load(event_id)

    def prune(self, limit: int = PRUNE_STEP) -> int:
        """Remove up to `limit` visits that are too old or too many, with their pictures; how many went."""
        gone: list[str] = []

        def work(connection: sqlite3.Connection) -> None:
            rows = connection.execute(
                _TOO_OLD, {"cutoff": self._move_cutoff(connection), "most": self._max_events, "limit": limit}
            ).fetchall()
            connection.executemany("DELETE FROM events WHERE id = ?", rows)
            gone[:] = [row[0] for row in rows]

        if not self._write(work):
            return 0
        self._delete_pictures(gone)  # only now: a crash before this leaves pictures for `prune_pictures`
        return len(gone)

    def _move_cutoff(self, connection: sqlite3.Connection) -> float:
        """The end (epoch s) before which visits are too old: a day past the oldest visit's, once an hour."""
        if not self._clock_synced():
            self._cutoff, self._next_cutoff = -math.inf, -math.inf
        elif self._clock.mono() >= self._next_cutoff:
            self._next_cutoff = self._clock.mono() + _HOUR_S
            oldest = connection.execute("SELECT min(end_time) FROM events WHERE clock_right").fetchone()[0]
            self._cutoff = min(self._clock.wall() - self._keep_s, (oldest or 0.0) + _DAY_S)
        return self._cutoff

    def prune_pictures(self, limit: int = PRUNE_STEP) -> int:
        """Remove up to `limit` old pictures that no visit has; how many. None while the clock may be wrong."""
        if not self._clock_synced():
            return 0
        orphans: list[str] = []
        try:
            for one in self._snapshots.ids(before=self._clock.wall() - _ORPHAN_S):
                if len(orphans) < limit and not self._rows("SELECT 1 FROM events WHERE id = ?", (one,)):
                    orphans.append(one)
        except StorageError as error:
            self._fail(error)
        self._delete_pictures(orphans)
        return len(orphans)

    def close(self) -> None:
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    # -- inside -------------------------------------------------------------------------------------

    def _delete_pictures(self, event_ids: list[str]) -> None:
        for files in (self._snapshots, self._clips):
            try:
                files.delete(event_ids)
            except StorageError as error:
                self._fail(error)

    def _documents(self, sql: str, args: tuple[object, ...], *, whole: bool = False) -> list[Document]:
        return [made for row in self._rows(sql, args) if (made := self._document(row, whole=whole)) is not None]

    def _document(self, row: Row, *, whole: bool) -> Document | None:
        _, event_id, _, _, end_time, _, body, alerts = row
        try:
            document: Document = json.loads(body)
        except ValueError:
            log.error("visit %r is not readable and is left out", event_id)  # noqa: TRY400 - the stack says nothing
            return None
        clip = clip_path(event_id) if self._clips.has(event_id) else None
        document.pop(APPEARANCE, None)
        if not whole:
            document.pop(PATH, None)
        return {
            **document,
            "end_time": end_time,
            "active": bool(document.get("active")) and end_time is None,
            "has_snapshot": self._snapshots.has(event_id),
            "has_clip": clip is not None,
            "clip": clip,
            "alerts": [{**alert, "clip": clip} for alert in _alerts(alerts)],
        }

    def _rows(self, sql: str, args: tuple[object, ...]) -> list[Row]:
        database = self._database
        if database is None or not database.in_place():
            with self._lock:
                database = self._opened()
        try:
            return database.read_apart(sql, args)
        except DamagedError:
            self._damaged = True  # the next write sets the file aside
            raise

    def _write(self, work: Callable[[sqlite3.Connection], object]) -> bool:
        def transaction(database: Database) -> None:
            with database.write(durable=False) as connection:
                work(connection)

        with self._lock:
            if self._fault is not None and self._clock.mono() < self._retry_at:
                return False
            try:
                self._guarded(transaction)
            except StorageError as error:
                self._fail(error)
                return False
            if self._fault is not None:
                log.warning("the history is written again: %s", self._path)
            self._fault = None
            return True

    def _guarded(self, work: Callable[[Database], object]) -> None:
        """Run `work`; where the file turns out to be damaged, set it aside and run it with a new one."""
        if not self._damaged:
            try:
                work(self._opened())
            except DamagedError:
                self._damaged = True
            else:
                return
        self.close()
        if self._path.exists():
            log.error("%s is damaged: kept as %s, a new history begins", self._path, set_aside(self._path).name)
        self._damaged = False
        work(self._opened())

    def _opened(self) -> Database:
        if self._database is not None and not self._database.in_place():
            self.close()
        if self._database is None:
            self._database = open_or_set_aside(self._path, LAYOUT, check_up_to=_CHECKED_BYTES)
        if not self._closed_leftovers:
            with self._database.write(durable=False) as connection:
                connection.execute("UPDATE events SET end_time = max(start_time, seen) WHERE end_time IS NULL")
            self._closed_leftovers = True
        return self._database

    def _fail(self, error: StorageError) -> None:
        with self._lock:
            if self._fault is None:
                log.error("the history is not written; alerts go on: %s", error)
            self._fault = str(error)
            self._retry_at = self._clock.mono() + self._retry_s


def _selection(
    *,
    camera: str | None,
    after: float | str | None,
    before: float | str | None,
    zone: str | None,
    alerted: bool | None,
) -> tuple[str, list[object]]:
    """The end of a SELECT of visits, newest first, and its arguments but for the last, the limit."""
    conditions: list[tuple[str, object]] = []
    if camera is not None:
        conditions.append(("camera = ?", camera))
    if after is not None:
        conditions.append((_AFTER_VISIT if isinstance(after, str) else "start_time > ?", after))
    if before is not None:
        conditions.append((_BEFORE_VISIT if isinstance(before, str) else "start_time < ?", before))
    if zone is not None:
        conditions.append(("instr(body, ?)", f'"{zone}"'))  # most visits need no reading of their JSON
        conditions.append((_IN_ZONE, zone))
    where = " AND ".join(("1", *_ALERTED[alerted], *(sql for sql, _ in conditions)))
    return f"FROM events WHERE {where} ORDER BY start_time DESC, number DESC LIMIT ?", [arg for _, arg in conditions]


def _alerts(text: str) -> list[Document]:
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return found if isinstance(found, list) else []
