"""The alarm as threads share it: commands come from MQTT and HTTP, intrusions from the inference loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from detector.analytics.alarm import Alarm
from detector.config.arming import ArmedState
from detector.config.schema import AlarmSettings
from detector.core.clock import Clock
from detector.core.types import AlarmState, Alert

ALARM_STATE = "alarm"
"""The name under which the outbox keeps the alarm's snapshot."""

Send = Callable[[Alert], None]
OnChange = Callable[[AlarmState, Mapping[str, object]], None]


class AlarmController:
    """A lock around `Alarm`: alerts that are due go to `send`, each change to
    `on_change(state, snapshot)`; both must return at once: they are called under the lock.

    `snapshot` is what `saved` takes after a restart.
    """

    def __init__(
        self,
        *,
        settings: AlarmSettings,
        saved: Mapping[str, object] | None,
        clock: Clock,
        send: Send,
        on_change: OnChange,
    ) -> None:
        self._lock = threading.RLock()
        self._clock, self._send, self._on_change = clock, send, on_change
        self._alarm = Alarm.restored(settings=settings, saved=saved, t=clock.mono())
        self._published: Mapping[str, object] | None = None

    @property
    def state(self) -> AlarmState:
        with self._lock:
            return self._alarm.state

    @property
    def armed_as(self) -> ArmedState | None:
        with self._lock:
            return self._alarm.armed_as

    @property
    def mode(self) -> ArmedState | None:
        """How it is armed, also while a delay runs or an alarm sounds; None: disarmed."""
        with self._lock:
            return self._alarm.mode

    def command(self, command: str) -> None:
        """ARM_AWAY, ARM_HOME or DISARM; raises ValueError on any other."""
        with self._lock:
            self._alarm.command(command, self._clock.mono())
            self._settle(())

    def intrusion(self, alert: Alert) -> None:
        """Send the alert, or hold it while an entry delay runs."""
        with self._lock:
            self._settle(self._alarm.intrusion(alert, self._clock.mono()))

    def tick(self) -> None:
        """Let time pass: an entry delay that is over lets go of what it held."""
        with self._lock:
            self._settle(self._alarm.tick(self._clock.mono()))

    def announce(self) -> None:
        """Publish the state as it is, changed or not: at start."""
        with self._lock:
            self._published = None
            self._settle(())

    def use_settings(self, settings: AlarmSettings) -> None:
        """Other delays; the state stays."""
        with self._lock:
            self._alarm.use_settings(settings)

    def _settle(self, due: Iterable[Alert]) -> None:
        # The state goes first: after a crash, an alert that went out must not have been sent by a disarmed alarm.
        snapshot = self._alarm.snapshot()
        if snapshot != self._published:
            self._published = snapshot
            self._on_change(self._alarm.state, snapshot)
        for alert in due:
            self._send(alert)
