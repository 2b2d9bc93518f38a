"""Counts the commands that came over MQTT and made no sense, and logs at most one line a minute about them."""

from __future__ import annotations

import logging
import threading

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.peers import LogLimit

log = logging.getLogger(__name__)

LINE_S = 60.0  # between two lines about nonsense
_SHOWN = 100  # characters of a topic: it may have 65,535


class RefusedCommands:
    """Thread-safe."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._lock = threading.Lock()
        self._lines = LogLimit(period_s=LINE_S, now=clock.mono)

    @property
    def total(self) -> int:
        """Since the start."""
        return self._lines.total

    def add(self, topic: str, reason: str) -> None:
        """One line a minute at most: who can send one nonsense can send thousands."""
        with self._lock:
            is_due = self._lines.due()
        if is_due:
            # By repr: a topic may hold line ends, which would make lines of their own in the log.
            log.warning("MQTT: %r: %s (%d so far, one line a minute)", topic[:_SHOWN], reason, self.total)
