"""The alarm as threads share it: commands come from MQTT and HTTP, intrusions from the worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from .alarm import Alarm
from .clock import Clock
from .config import AlarmSettings, ArmedState
from .types import AlarmState, Alert

Tell = Callable[[AlarmState, Mapping[str, object]], None]


class AlarmDesk:
    """A lock around `Alarm`; `tell(state, snapshot)` is called on every change, snapshot to be kept."""

    def __init__(
        self, *, settings: AlarmSettings, saved: Mapping[str, object] | None, clock: Clock, tell: Tell
    ) -> None:
        self._lock = threading.RLock()
        self._clock = clock
        self._tell = tell
        self._alarm = Alarm.restored(settings=settings, saved=saved, t=clock.mono())
        self._told: Mapping[str, object] | None = None

    @property
    def state(self) -> AlarmState:
        with self._lock:
            return self._alarm.state

    @property
    def armed_as(self) -> ArmedState | None:
        with self._lock:
            return self._alarm.armed_as

    def command(self, command: str) -> None:
        """ARM_AWAY, ARM_HOME or DISARM; raises ValueError on any other."""
        with self._lock:
            self._alarm.command(command, self._clock.mono())
            self._publish()

    def intrusion(self, alert: Alert) -> tuple[Alert, ...]:
        """The alerts to send now: none while an entry delay runs."""
        with self._lock:
            due = self._alarm.intrusion(alert, self._clock.mono())
            self._publish()
            return due

    def tick(self) -> tuple[Alert, ...]:
        """Let time pass; the alerts that an entry delay held and now lets go."""
        with self._lock:
            due = self._alarm.tick(self._clock.mono())
            self._publish()
            return due

    def announce(self) -> None:
        """Tell the state as it is, changed or not: at start."""
        with self._lock:
            self._told = None
            self._publish()

    def reconfigure(self, settings: AlarmSettings) -> None:
        """New delays; the state stays."""
        with self._lock:
            self._alarm = Alarm.restored(settings=settings, saved=self._alarm.snapshot(), t=self._clock.mono())
            self._publish()

    def _publish(self) -> None:
        snapshot = self._alarm.snapshot()
        if snapshot != self._told:
            self._told = snapshot
            self._tell(self._alarm.state, snapshot)
