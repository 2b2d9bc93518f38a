"""Stores each finished measurement in a JSON file, so that a second run continues where the first stopped."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detector.core.errors import StorageError
from detector.core.files import write_atomically


class Cells:
    """Documents by key in `folder`; a key is made of everything that the result depends on. Raises StorageError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> dict[str, Any] | None:
        """What was kept under `key`; None for nothing and for what cannot be read."""
        try:
            found = json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def put(self, key: str, document: dict[str, Any]) -> None:
        write_whole(self._folder / f"{key}.json", json.dumps(document, indent=1) + "\n")


def write_whole(path: Path, text: str) -> None:
    """By `write_atomically`; raises StorageError."""
    with explained(path.parent):
        write_atomically(path, text)


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """An OSError becomes a StorageError that names the folder."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write to {folder}: {error.strerror or error}; make room, or choose another folder with --out"
        ) from None
