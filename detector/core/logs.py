"""Logging for a daemon: one line a record, secrets masked, time left to journald where it listens."""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from types import TracebackType

from .redact import RedactingFilter, redact

_CHATTY = ("asyncio", "uvicorn", "uvicorn.access", "libav", "urllib3")


def setup(level: int = logging.INFO) -> None:
    """Send every record to stderr through the redactor; idempotent."""
    handler = logging.StreamHandler(sys.stderr)
    # journald stamps lines itself; elsewhere a person wants to see when.
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    handler.setFormatter(logging.Formatter(f"{stamp}%(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S"))
    handler.addFilter(RedactingFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.ERROR))
    threading.excepthook = _log_thread_death
    mask_tracebacks()


def mask_tracebacks() -> None:
    """Make the traceback of a fault that nothing catches go through the redactor; idempotent."""
    sys.excepthook = _print_masked


def _print_masked(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _log_thread_death(args: threading.ExceptHookArgs) -> None:
    """A thread that dies says so in the log, redacted, instead of a bare traceback."""
    name = args.thread.name if args.thread else "?"
    if args.exc_value is not None:
        info = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger("detector.service").critical("thread %s died", name, exc_info=info)
