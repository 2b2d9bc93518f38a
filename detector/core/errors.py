"""The detector's exceptions: each message is one line that says what is wrong and what to do."""

from __future__ import annotations

from typing import ClassVar

RESTART_CODE = 75
"""Exit code (EX_TEMPFAIL) of a service that was asked to start again: its supervisor, or `cli.app`, does so."""


class DetectorError(Exception):
    """The command ran and failed. `str()` is one line of plain English, without secrets."""

    exit_code: ClassVar[int] = 1


class UsageError(DetectorError):
    """The arguments are wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration is wrong; `key` is the dotted path of the wrong key, "" for the whole."""

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key


class SourceError(DetectorError):
    """A camera or file cannot be opened or read."""


class EndOfStreamError(SourceError):
    """A file has no more frames."""


class ModelError(DetectorError):
    """A model cannot be found, downloaded, verified or used."""


class UnknownNameError(ModelError, UsageError):
    """No model or clip of the registry has this name: the argument, or the configuration, is wrong."""


class InferenceError(DetectorError):
    """A model run failed or returned nonsense (NaN, wrong shapes); never to be taken for an empty picture."""


class BrokerError(DetectorError):
    """The MQTT broker cannot be reached or refuses the connection."""


class StorageError(DetectorError):
    """The data directory cannot be written or read."""


def one_line(error: BaseException | str, limit: int = 200) -> str:
    """A library's message on one line, at most `limit` characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= limit else f"{text[:limit]}..."
