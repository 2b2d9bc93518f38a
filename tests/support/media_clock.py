"""A clock for hours of media time in minutes: it stands where it is put, and goes on only while it is let."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class MediaClock:
    """Thread-safe. `wall` is epoch s at the start; monotonic time starts at 1000 s."""

    def __init__(self, wall: float) -> None:
        self._lock = threading.Lock()
        self._mono, self._ahead = 1000.0, wall - 1000.0
        self._running_since: float | None = None  # the machine's monotonic s

    def mono(self) -> float:
        with self._lock:
            return self._now()

    def wall(self) -> float:
        with self._lock:
            return self._now() + self._ahead

    def put(self, mono: float) -> None:
        """Let it be `mono`; raises ValueError for a time that is over."""
        with self._lock:
            if mono < self._now():
                raise ValueError("monotonic time does not go back")
            self._mono = mono

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as a time service or a hand does."""
        with self._lock:
            self._ahead += seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        """In real time meanwhile: for what waits by the clock. Not to be nested."""
        with self._lock:
            self._running_since = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._mono, self._running_since = self._now(), None

    def _now(self) -> float:
        return self._mono + (time.monotonic() - self._running_since if self._running_since is not None else 0.0)
