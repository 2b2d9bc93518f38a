"""The configuration that holds now, and the file that it came from."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from detector.api.control import StaleConfigError
from detector.config import document as config_file
from detector.config.schema import Config


@dataclass(frozen=True, slots=True)
class CurrentConfig:
    """`document` as it was written, secrets and `${NAME}` included; `config` is what it says."""

    document: config_file.Document
    config: Config


class ConfigStore:
    """Read from any thread. `path` None: the configuration came from no file, and changes are not kept."""

    def __init__(self, *, document: config_file.Document, path: Path | None, config: Config) -> None:
        self.path = path
        self._current = CurrentConfig(document, config)
        self._changing = threading.Lock()

    @property
    def current(self) -> CurrentConfig:
        """Document and config of one and the same moment."""
        return self._current

    @property
    def config(self) -> Config:
        return self._current.config

    @contextmanager
    def change(self) -> Iterator[CurrentConfig]:
        """For one change at a time: loads of models and writes of files may be inside the block.

        Raises StaleConfigError at once while another change is on its way, instead of waiting for it.
        """
        if not self._changing.acquire(blocking=False):
            raise StaleConfigError
        try:
            yield self._current
        finally:
            self._changing.release()

    def write(self, document: config_file.Document) -> None:
        """Put `document` into the file, whole or not at all; raises ConfigError."""
        if self.path is not None:
            config_file.write(self.path, document, copies=self.config.data_dir)

    def replace(self, document: config_file.Document, config: Config) -> None:
        """From now on this is the configuration; one caller at a time."""
        self._current = CurrentConfig(document, config)
