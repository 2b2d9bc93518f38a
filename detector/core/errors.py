"""Every way the detector says no: one line that says what was wrong and what to do."""

from __future__ import annotations

from typing import ClassVar


class DetectorError(Exception):
    """It ran and failed. `str()` is one plain-English line, free of secrets."""

    exit_code: ClassVar[int] = 1


class UsageError(DetectorError):
    """The arguments are wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration is wrong; `key` is the dotted path of the culprit, "" for the whole."""

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key


class SourceError(DetectorError):
    """A camera or file cannot be opened or read."""


class EndOfStreamError(SourceError):
    """A file has no more frames."""


class ModelError(DetectorError):
    """A model cannot be found, fetched, verified or understood."""


class UnknownModelError(ModelError):
    """A model's name that the registry does not know: an argument or a key of the config is wrong."""

    exit_code = 2


class InferenceError(DetectorError):
    """A model run failed or gave nonsense (NaN, wrong shapes): never to be read as "nobody there"."""


class BrokerError(DetectorError):
    """The MQTT broker cannot be reached or refuses."""


class StorageError(DetectorError):
    """The data directory cannot be written or read."""


def one_line(error: BaseException | str, limit: int = 200) -> str:
    """An engine's message on one line, its end cut."""
    text = " ".join(str(error).split())
    return text if len(text) <= limit else f"{text[:limit]}..."
