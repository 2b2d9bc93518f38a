"""Named threads that run until told to stop, remember how they ended, and are stopped in reverse order."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from .clock import Clock

log = logging.getLogger(__name__)

STOP_S = 5.0
_PR_SET_NAME = 15  # prctl(2)


class Heartbeat(Protocol):
    """Shows that a loop turns."""

    @property
    def progress_mono(self) -> float:
        """When the loop last turned, monotonic s."""
        ...


def _show_name(name: str) -> None:
    """The calling thread's name for `top -H` and its like, 15 bytes of it; Python does it by itself from 3.14 on."""
    with contextlib.suppress(AttributeError, OSError):  # elsewhere than on Linux
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15])


class HeartbeatEvent(threading.Event):
    """A stop event that is its thread's heartbeat: a loop asks at each turn whether it is to stop."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.progress_mono = clock.mono()

    def is_set(self) -> bool:
        self.progress_mono = self._clock.mono()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        self.progress_mono = self._clock.mono()
        return super().wait(timeout)


class ServiceThread:
    """`run(stop)` in a thread of its own; `heartbeat` shows whether its loop turns, where it can be known.

    `background_s`: the service goes on without it; it is told when it has not turned for so many seconds. None: the
    service needs it.
    """

    def __init__(
        self,
        *,
        name: str,
        run: Callable[[threading.Event], None],
        stop_event: threading.Event | None = None,
        heartbeat: Heartbeat | None = None,
        background_s: float | None = None,
    ) -> None:
        self.name, self.heartbeat, self.background_s = name, heartbeat, background_s
        self.stop_event = stop_event or threading.Event()
        self.failure: Exception | None = None
        self._run = run
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def _main(self) -> None:
        _show_name(self.name)
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
