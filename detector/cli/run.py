"""`detector run`: the service, in the foreground."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from detector.core.errors import ConfigError, UsageError

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help="The config file.")]
DurationOption = Annotated[float | None, typer.Option("--duration", metavar="S", help="Stop after S seconds.")]
DEFAULT_FILES = (Path("detector.yaml"), Path("/etc/detector/detector.yaml"))


def find_config(given: Path | None) -> Path:
    """`given`, else the first existing file of DEFAULT_FILES; raises ConfigError."""
    if given is not None:
        return given
    for path in DEFAULT_FILES:
        if path.is_file():
            return path
    places = " or ".join(str(p) for p in DEFAULT_FILES)
    raise ConfigError(f"no config file at {places}: run `detector init` to write one, or name one with -c FILE")


def checked_duration(seconds: float | None) -> float | None:
    """`seconds` of `--duration`; raises UsageError unless positive and finite."""
    if seconds is not None and not 0 < seconds < 1e9:
        raise UsageError("--duration must be a positive number of seconds")
    return seconds


@contextmanager
def handling_signals(stop: threading.Event, *, reload: threading.Event | None = None) -> Iterator[None]:
    """SIGTERM and SIGINT set `stop` while the block runs; a second one ends the process at once.

    SIGHUP sets `reload`; without it, it stops too: it is what a terminal sends when its window is closed.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    before = {s: signal.signal(s, handle) for s in (signal.SIGTERM, signal.SIGINT)}
    hung_up = handle if reload is None else lambda _number, _frame: reload.set()
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, hung_up)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(config: ConfigOption = None, duration: DurationOption = None) -> int:
    """Run the service in the foreground until Ctrl-C or SIGTERM; SIGHUP reads the config file again."""
    from detector.config import document
    from detector.core import logs
    from detector.service.service import Service

    path, seconds = find_config(config), checked_duration(duration)
    logs.setup()
    service = Service(document=document.read(path), path=path)
    logs.setup(as_json=service.config.log.format == "json")
    reload = None if sys.stdin.isatty() else service.reload_event
    with handling_signals(service.stop_event, reload=reload):
        return service.run(duration_s=seconds)
