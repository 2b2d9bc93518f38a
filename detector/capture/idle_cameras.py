"""Which cameras nothing happens on: inference says so, capture asks. Thread-safe."""

from __future__ import annotations

import threading


class IdleCameras:
    """The set of idle cameras; at first none is."""

    def __init__(self) -> None:
        self._idle: set[str] = set()
        self._lock = threading.Lock()

    def set(self, camera: str, idle: bool) -> None:
        """Set whether `camera` is idle from now on."""
        with self._lock:
            if idle:
                self._idle.add(camera)
            else:
                self._idle.discard(camera)

    def is_idle(self, camera: str) -> bool:
        with self._lock:
            return camera in self._idle
