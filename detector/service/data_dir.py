"""The data directory: made, checked, and held by one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from detector.core.errors import StorageError
from detector.core.files import locked


@contextmanager
def locked_data_dir(path: Path) -> Iterator[Path]:
    """`path` as a folder of our own while the block runs; raises StorageError that says what to do."""
    lock = path / "lock"
    made = False
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(lock, waiting=lambda: _refuse(path, lock)) as handle:
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            made = True
            yield path
    except OSError as error:
        if made:  # the block's own
            raise
        raise StorageError(f"cannot use data_dir {path}: {error.strerror}; make it writable or set another") from None


def _refuse(path: Path, lock: Path) -> NoReturn:
    holder = lock.read_text(errors="replace").strip() or "another"
    raise StorageError(
        f"data_dir {path} is in use by process {holder}: stop it, or give this one a data_dir of its own"
    )
