"""Logging for a daemon: one line a record, secrets masked, time left to journald where it listens."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import traceback
from datetime import datetime, timezone
from types import TracebackType

from .redact import RedactingFilter, redact

_CHATTY = ("asyncio", "uvicorn", "uvicorn.access", "libav", "urllib3")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time` (RFC 3339, UTC), `level`, `logger`, `thread`, `message`; `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, tz=timezone.utc)
        document = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        trace = record.exc_text or (self.formatException(record.exc_info) if record.exc_info else None)
        if trace:
            document["exception"] = trace
        return json.dumps(document, ensure_ascii=False)


def setup(level: int = logging.INFO, *, as_json: bool = False) -> None:
    """Send every record to stderr through the redactor; idempotent."""
    handler = logging.StreamHandler(sys.stderr)
    # journald stamps lines itself; elsewhere a person wants to see when.
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    plain = logging.Formatter(f"{stamp}%(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")
    handler.setFormatter(JsonFormatter() if as_json else plain)
    handler.addFilter(RedactingFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.ERROR))
    threading.excepthook = _log_thread_death
    if as_json:
        sys.excepthook = _log_uncaught
    else:
        mask_tracebacks()


def mask_tracebacks() -> None:
    """Make the traceback of a fault that nothing catches go through the redactor; idempotent."""
    sys.excepthook = _print_masked


def _print_masked(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("detector").critical("a fault that nothing caught", exc_info=(kind, error, trace))


def _log_thread_death(args: threading.ExceptHookArgs) -> None:
    """A thread that dies says so in the log, redacted, instead of a bare traceback."""
    name = args.thread.name if args.thread else "?"
    if args.exc_value is not None:
        info = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger("detector.service").critical("thread %s died", name, exc_info=info)
