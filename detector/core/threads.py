"""Named threads that run until told to stop, remember how they ended, and are stopped in reverse order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

log = logging.getLogger(__name__)

STOP_S = 5.0


class Heartbeat(Protocol):
    """Shows that a loop turns."""

    @property
    def progress_mono(self) -> float:
        """When the loop last turned, monotonic s."""
        ...


class ServiceThread:
    """`run(stop)` in a thread of its own; `heartbeat` shows whether its loop turns, where it can be known."""

    def __init__(
        self,
        *,
        name: str,
        run: Callable[[threading.Event], None],
        stop_event: threading.Event | None = None,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self.name, self.heartbeat = name, heartbeat
        self.stop_event = stop_event or threading.Event()
        self.failure: Exception | None = None
        self._run = run
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def _main(self) -> None:
        try:
            self._run(self.stop_event)
        except Exception as error:
            self.failure = error
            log.exception("thread %s failed", self.name)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def signal(self) -> None:
        """Ask it to stop, without waiting."""
        self.stop_event.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False, and a line in the log, when it does not come in time."""
        self.signal()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self.alive:
            log.error("thread %s did not stop within %.0f s", self.name, timeout_s)
        return not self.alive


class ThreadGroup:
    """The threads that run, in the order of their start. Iterate from any thread."""

    def __init__(self) -> None:
        self._threads: list[ServiceThread] = []

    def __iter__(self) -> Iterator[ServiceThread]:
        return iter(tuple(self._threads))

    def start(self, thread: ServiceThread) -> ServiceThread:
        self._threads.append(thread)
        thread.start()
        return thread

    def dead(self) -> ServiceThread | None:
        """The first that ended although it should run."""
        return next((thread for thread in self if not thread.alive), None)
