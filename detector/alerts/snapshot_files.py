"""Pictures of visits: one JPEG a visit, in a folder, named after the visit's id."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from detector.core.errors import StorageError

from .database import explain, sync_folder

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")  # no slash, no leading dot, no ".."
_MAX_ID = 128
_SUFFIX, _PART = ".jpg", ".part"


def safe_id(event_id: str) -> bool:
    """Whether `event_id` may become part of a file's name."""
    return len(event_id) <= _MAX_ID and _ID.fullmatch(event_id) is not None


class Snapshots:
    """The folder, made when first written to; raises StorageError, ValueError for an unsafe id to write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, event_id: str, jpeg: bytes) -> None:
        """Write the picture whole or not at all; a thief who cuts the power does not take it back."""
        if not safe_id(event_id):
            raise ValueError("an event's id holds letters, digits, _ - and single dots")
        target = self._path(event_id)
        part = target.with_name(target.name + _PART)
        with self._explained(target):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                _write_synced(part, jpeg)
                part.replace(target)
            except OSError:
                part.unlink(missing_ok=True)
                raise
            sync_folder(self._folder)

    def load(self, event_id: str) -> bytes | None:
        """The picture; None where there is none, or the id is not one."""
        if not safe_id(event_id):
            return None
        try:
            return self._path(event_id).read_bytes() or None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise explain(error, self._path(event_id)) from error

    def has(self, event_id: str) -> bool:
        return safe_id(event_id) and self._path(event_id).is_file()

    def delete(self, event_ids: Iterable[str]) -> None:
        """Remove these pictures; ones that are not there are no error, one that stays does not keep the others."""
        fault: StorageError | None = None
        for path in map(self._path, filter(safe_id, event_ids)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                fault = explain(error, path)
        if fault is not None:
            raise fault

    def ids(self, *, before: float) -> list[str]:
        """Whose pictures were last written before `before`, epoch s; removes half-written ones as old."""
        with self._explained(self._folder):
            if not self._folder.is_dir():
                return []
            old = [file for file in self._folder.iterdir() if _older(file, before)]
            for file in old:
                if file.suffix == _PART:
                    file.unlink(missing_ok=True)
            return [file.name[: -len(_SUFFIX)] for file in old if file.suffix == _SUFFIX]

    def _path(self, event_id: str) -> Path:
        return self._folder / f"{event_id}{_SUFFIX}"

    @contextmanager
    def _explained(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explain(error, path) from error


def _older(file: Path, before: float) -> bool:
    with suppress(FileNotFoundError):
        return file.stat().st_mtime < before
    return False


def _write_synced(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
