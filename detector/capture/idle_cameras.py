"""Which cameras nothing happens on: inference says so, capture asks. Thread-safe."""

from __future__ import annotations

import threading


class IdleCameras:
    """A camera rests when it was told to; at first none does."""

    def __init__(self) -> None:
        self._resting: set[str] = set()
        self._lock = threading.Lock()

    def set(self, camera: str, resting: bool) -> None:
        """Whether `camera` need not be looked at closely from now on."""
        with self._lock:
            if resting:
                self._resting.add(camera)
            else:
                self._resting.discard(camera)

    def is_idle(self, camera: str) -> bool:
        with self._lock:
            return camera in self._resting
