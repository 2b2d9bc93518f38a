"""Opening SQLite files so that they survive power cuts, damage and full disks.

Every sqlite3 error leaves here as a StorageError that says what to do. A damaged file raises
DamagedError; `open_or_rebuild` saves what can be read.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.core.errors import StorageError

log = logging.getLogger(__name__)

Row = tuple[Any, ...]
Salvage = Callable[[sqlite3.Connection, sqlite3.Connection], int]
_SIDE_FILES = ("", "-wal", "-shm")
_BUSY_S = 5.0
_PROBES = 2000  # steps over unreadable rows before a salvage gives up; each is one B-tree descent
_KEEP_DAMAGED = 5  # set-aside files: enough to look into, not enough to fill a small disk


class DamagedError(StorageError):
    """The file is not a sound SQLite database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaLayout:
    """Whose file it is and how it came to its present shape.

    `migrations[i]` is a script that takes version i to i+1 (`user_version`); append, never edit.
    """

    application_id: int
    migrations: tuple[str, ...]


def explain(error: Exception, path: Path) -> StorageError:
    """`error` as one line on what was wrong with `path` and what to do."""
    text = str(error)
    if "malformed" in text or "not a database" in text:
        return DamagedError(f"{path} is damaged ({text})")
    if "is full" in text or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"no room to write {path}: free some space on its disk")
    if "readonly" in text or isinstance(error, PermissionError):
        return StorageError(
            f"{path} is not writable: give this user write access to it and its folder, or set data_dir"
        )
    if "locked" in text or "busy" in text:
        return StorageError(f"{path} is held by another process: stop it, or give each detector its own data_dir")
    return StorageError(f"{path} cannot be used ({text}): check the disk, or set data_dir to another")


def _create(path: Path) -> None:
    """An empty file with mode 0600 before SQLite would make one: its -wal and -shm take the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a new name in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    # One rotten byte must not make its whole row unreadable.
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    return connection


def _migrate(connection: sqlite3.Connection, path: Path, layout: SchemaLayout) -> None:
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != layout.application_id and (owner or tables):
        raise StorageError(f"{path} belongs to another program: move it away, or set data_dir to another folder")
    if version > len(layout.migrations):
        raise StorageError(f"{path} was written by a newer detector: update this one, or move the file away")
    for number, script in enumerate(layout.migrations[version:], start=version + 1):
        # One transaction a step, version number included: a crash in between repeats it whole.
        connection.executescript(
            f"BEGIN IMMEDIATE; {script}; PRAGMA application_id={layout.application_id};"
            f" PRAGMA user_version={number}; COMMIT;"
        )


def _place(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _sides(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in _SIDE_FILES]


def _fresh(path: Path) -> Path:
    return path.with_name(path.name + ".rebuild")


def _adopt_rebuilt(path: Path) -> None:
    """Finish a `rebuild` that was cut off between its last two renames."""
    if not path.exists() and _fresh(path).exists():
        for stale in _sides(path)[1:]:
            stale.unlink(missing_ok=True)  # the damaged file's log must not be played into the new one
        _fresh(path).rename(path)


class Database:
    """One connection behind a lock, usable from any thread.

    Raises StorageError: unreadable, unwritable, full, foreign or held file; DamagedError: damage.
    """

    def __init__(self, *, path: Path, layout: SchemaLayout, check: bool = True) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._durable: bool | None = None
        with self._explained():
            _adopt_rebuilt(path)
            _create(path)
            self._connection = _connect(path)
        try:
            with self._explained():
                self._prepare(layout, check=check)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, layout: SchemaLayout, *, check: bool) -> None:
        connection = self._connection
        connection.execute("PRAGMA journal_mode=WAL")  # some file systems cannot; the default is as safe, only slower
        connection.execute("PRAGMA journal_size_limit=4194304")
        if check and (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(f"malformed: {found}")
        _migrate(connection, self.path, layout)
        self._place = _place(self.path)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise explain(error, self.path) from error

    def read(self, sql: str, args: Sequence[object] = ()) -> list[Row]:
        """All rows of one query."""
        with self._lock, self._explained():
            return self._connection.execute(sql, args).fetchall()

    @contextmanager
    def write(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """One transaction; `durable`: on the disk, power cut or not, when the block is left."""
        with self._lock, self._explained():
            if not self.in_place():
                raise FileNotFoundError("it was moved or deleted while in use")
            if durable is not self._durable:
                # NORMAL may lose the last transactions to a power cut, never the file's soundness, and
                # the next FULL one makes those before it durable too.
                self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def in_place(self) -> bool:
        """Whether `path` still is the open file: SQLite goes on writing to a deleted one, for nobody."""
        return _place(self.path) == self._place

    def file_bytes(self) -> int:
        """What the file and its log take on the disk."""
        return sum(_size(side) for side in _sides(self.path))

    def close(self) -> None:
        with self._lock, self._explained():
            self._connection.close()


def readable_rows(connection: sqlite3.Connection, table: str, key: str) -> Iterator[Row]:
    """The rows of a damaged table that can still be read, by rising integer `key`, each once.

    Goes up to the damage, steps over it key by key, then comes from the other end for what lies behind.
    """
    seen: set[int] = set()
    for order, sign, start in (("ASC", 1, -1), ("DESC", -1, 2**62)):
        last = start
        sql = f"SELECT * FROM {table} WHERE {key} {'>' if sign > 0 else '<'} ? ORDER BY {key} {order}"  # noqa: S608 - our own names
        for _ in range(_PROBES):
            try:
                for row in connection.execute(sql, (last,)):
                    last = int(row[0])
                    if last not in seen:
                        seen.add(last)
                        yield row
            except (sqlite3.Error, TypeError, ValueError):
                last += sign
            else:
                return


def _set_aside(path: Path) -> Path:
    taken = sorted(
        (int(tail), old)
        for old in path.parent.glob(path.name + ".corrupt-*")
        if (tail := old.name.rpartition("-")[2]).isdigit()
    )
    aside = path.with_name(f"{path.name}.corrupt-{taken[-1][0] + 1 if taken else 1}")
    for source, target in zip(_sides(path), _sides(aside), strict=True):
        if source.exists():
            source.rename(target)
    for _, old in taken[: max(0, len(taken) + 1 - _KEEP_DAMAGED)]:
        for side in _sides(old):
            side.unlink(missing_ok=True)
    return aside


def open_or_rebuild(path: Path, layout: SchemaLayout, salvage: Salvage, *, check_up_to: int = sys.maxsize) -> Database:
    """The database in `path`; a damaged one is first replaced by a new file of what can be read of it.

    The old file stays as `.corrupt-N`. `salvage(old, new)` copies rows and returns how many. Files of
    more than `check_up_to` bytes are not read through: their damage shows when it is met.
    """
    check = _size(path) <= check_up_to
    try:
        return Database(path=path, layout=layout, check=check)
    except DamagedError:
        _rebuild(path, layout, salvage)
        return Database(path=path, layout=layout, check=check)


def _rebuild(path: Path, layout: SchemaLayout, salvage: Salvage) -> None:
    """Crash-safe: at any point there is either the old file or the finished new one."""
    fresh = _fresh(path)
    try:
        for side in _sides(fresh):
            side.unlink(missing_ok=True)
        new = Database(path=fresh, layout=layout, check=False)
        with closing(new), closing(_connect(path)) as old, new.write(durable=True) as connection:
            saved = salvage(old, connection)
        aside = _set_aside(path)
        fresh.rename(path)
        sync_folder(path.parent)
    except (sqlite3.Error, OSError) as error:
        raise explain(error, path) from error
    log.error("%s was damaged: kept as %s, %d entries saved from it", path, aside.name, saved)
