"""The data directory: made, checked, and held by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detector.core.errors import StorageError


@contextmanager
def locked_data_dir(path: Path) -> Iterator[Path]:
    """`path` as a folder of our own while the block runs; raises StorageError that says what to do."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        # No O_TRUNC: the holder's process id must stay readable to whoever is refused.
        handle = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"cannot use data_dir {path}: {error.strerror}; make it writable or set another") from None
    try:
        _lock(handle, path)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield path
    finally:
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 32, 0).decode("ascii", "replace") or "another"
        raise StorageError(
            f"data_dir {path} is in use by process {holder}: stop it, or give this one a data_dir of its own"
        ) from None
