"""Opening SQLite files so that they survive power cuts, damage and full disks.

Every sqlite3 error leaves here as a StorageError that says what to do. A damaged file raises
DamagedError; `open_or_set_aside` keeps it under another name and goes on with a new one.
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
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from detector.core.errors import StorageError

log = logging.getLogger(__name__)

Row = tuple[Any, ...]
_SIDE_FILES = ("", "-wal", "-shm")
_BUSY_S = 5.0
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


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a file that is there; raises sqlite3.Error."""
    uri = f"{path.absolute().as_uri()}?mode=rw"  # never a new, empty file
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
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


class Database:
    """One connection behind a lock: for the thread that writes. Other threads read with `read_apart`.

    Raises StorageError: unreadable, unwritable, full, foreign or held file; DamagedError: damage.
    """

    def __init__(self, *, path: Path, layout: SchemaLayout, check: bool = True) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._durable: bool | None = None
        with self._explained():
            _create(path)
            self._connection = connect(path)
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
        """All rows of one query, by the writer's connection."""
        with self._lock, self._explained():
            return self._connection.execute(sql, args).fetchall()

    def read_apart(self, sql: str, args: Sequence[object] = ()) -> list[Row]:
        """All rows of one query, by a connection of its own: holds no lock that a write waits for."""
        with self._explained(), closing(connect(self.path)) as connection:
            return connection.execute(sql, args).fetchall()

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
        """Whether `path` still is the open file: SQLite goes on writing to a deleted one, and nothing reads it."""
        return _place(self.path) == self._place

    def file_bytes(self) -> int:
        """What the file and its log take on the disk."""
        return sum(_size(side) for side in _sides(self.path))

    def close(self) -> None:
        with self._lock, self._explained():
            self._connection.close()


def set_aside(path: Path) -> Path:
    """Rename the damaged file and its log to `NAME.damaged-TIME`; the newest few of these are kept.

    Raises StorageError where the folder does not allow it.
    """
    old = sorted(path.parent.glob(f"{path.name}.damaged-*[0-9Z]"))
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%fZ}")
    try:
        for source, target in zip(_sides(path), _sides(aside), strict=True):
            if source.exists():
                source.rename(target)
        for name in old[: max(0, len(old) + 1 - _KEEP_DAMAGED)]:
            for side in _sides(name):
                side.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise explain(error, path) from error
    return aside


def open_or_set_aside(
    path: Path,
    layout: SchemaLayout,
    *,
    check_up_to: int = sys.maxsize,
    rescue: Callable[[], None] = lambda: None,
) -> Database:
    """The database in `path`; a damaged file is set aside whole, the log says so, and a new one takes its place.

    Files of more than `check_up_to` bytes are not read through: their damage shows when it is met. `rescue` is
    called while the damaged file is still there.
    """
    check = _size(path) <= check_up_to
    try:
        return Database(path=path, layout=layout, check=check)
    except DamagedError as error:
        rescue()
        aside = set_aside(path)
        log.error("%s: it is kept as %s and a new file goes on without its content", error, aside.name)  # noqa: TRY400 - the stack says nothing
        return Database(path=path, layout=layout)
