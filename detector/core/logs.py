"""Logging for a daemon: one line a record, secrets masked, time left to journald where it listens."""

from __future__ import annotations

import logging
import os
import sys
import threading

from .redact import RedactingFilter

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


def _log_thread_death(args: threading.ExceptHookArgs) -> None:
    """A thread that dies says so in the log, redacted, instead of a bare traceback."""
    name = args.thread.name if args.thread else "?"
    if args.exc_value is not None:
        info = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger("detector.service").critical("thread %s died", name, exc_info=info)
