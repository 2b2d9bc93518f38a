"""The configuration that holds now, and the file that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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

    @property
    def current(self) -> CurrentConfig:
        """Document and config of one and the same moment."""
        return self._current

    @property
    def config(self) -> Config:
        return self._current.config

    def write(self, document: config_file.Document) -> None:
        """Put `document` into the file, whole or not at all; raises ConfigError."""
        if self.path is not None:
            config_file.write(self.path, document)

    def replace(self, document: config_file.Document, config: Config) -> None:
        """From now on this is the configuration; one caller at a time."""
        self._current = CurrentConfig(document, config)
