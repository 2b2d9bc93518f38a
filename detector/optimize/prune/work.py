"""What a pruning job has done so far, in a folder beside its output, so that a stop loses at most a minute."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from detector.core.errors import ModelError, StorageError
from detector.core.files import write_atomically
from detector.optimize.export import ultralytics_models


class Work:
    """The folder of a job with the identity `key`; raises ModelError for one of another job, StorageError."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self._file = folder, folder / "progress.json"
        self._document: dict[str, Any] = {"key": key, "stages": {}}
        self.resumed = self._file.exists()
        if self.resumed:
            self._document = self._read(key)

    @property
    def checkpoint(self) -> Path:
        """Of fine-tuning."""
        return self.folder / "tuning"

    @property
    def cut(self) -> Path:
        """The pruned network."""
        return self.folder / "pruned.pt"

    def begin(self) -> None:
        """Makes the folder: a disk that cannot hold it is known now, not in an hour."""
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot keep work in {self.folder}: {error.strerror or error}") from None
        self._write()

    def get(self, name: str) -> Any:
        """What was kept of a stage; None for nothing."""
        return self._document["stages"].get(name)

    def put(self, name: str, value: Any) -> None:
        """Keeps what JSON can hold."""
        self._document["stages"][name] = value
        self._write()

    def keep_model(self, model: Any) -> None:
        """Keeps the pruned network in full precision."""
        ultralytics_models.save(model, self.cut)

    def remove(self) -> None:
        """At the end of the job."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def empty(self) -> bool:
        """Whether nothing is kept yet that a later run could go on from."""
        return not self._document["stages"]

    def said(self) -> str | None:
        """What an earlier run left, in words."""
        if not self.resumed:
            return None
        done = ", ".join(name for name in self._document["stages"]) or "nothing yet"
        return f"continues from {self.folder}: done are {done}" + (
            ", and a part of tuning" if self.checkpoint.exists() else ""
        )

    def _read(self, key: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
            other = found["key"] != key or not isinstance(found["stages"], dict)
        except (OSError, ValueError, KeyError, TypeError):
            raise ModelError(f"{self._file} cannot be read: remove {self.folder}") from None
        if other:
            raise ModelError(
                f"{self.folder} is the work of another run (model, pictures or settings differ): "
                "repeat that run to go on with it, or remove the folder to start over"
            )
        return found

    def _write(self) -> None:
        try:
            write_atomically(self._file, json.dumps(self._document) + "\n")
        except OSError as error:
            raise StorageError(
                f"cannot write to {self.folder}: {error.strerror or error}: free some disk space"
            ) from None
