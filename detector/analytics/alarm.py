"""The alarm panel: armed or not, exit and entry delays, and which alerts are published now.

A pure state machine; `t` is monotonic seconds of any origin. A `t` before the newest one is replaced by
that one.

 disarmed --ARM--> pending (exit delay) --> armed --intrusion--> pending (entry delay) --> triggered --> armed
 DISARM leads from every state to disarmed, at once, and discards the alerts that the entry delay holds back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

from detector.config.arming import ArmedState
from detector.config.schema import AlarmSettings
from detector.core.types import AlarmState, Alert

from .alert_codec import dump, load

_Phase = Literal["settled", "leaving", "entering", "triggered"]
_ARM: Final[dict[str, ArmedState]] = {"ARM_AWAY": "armed_away", "ARM_HOME": "armed_home"}


class Alarm:
    """The alarm's state; starts in `state`, or in the configured initial state. Not thread-safe."""

    def __init__(
        self,
        *,
        settings: AlarmSettings,
        state: Literal["armed_away", "armed_home", "disarmed"] | None = None,
        t: float = 0.0,
    ) -> None:
        start = state or settings.initial
        self._settings = settings
        self._mode: ArmedState | None = None if start == "disarmed" else start
        self._phase: _Phase = "settled"
        self._now = t
        self._since = t
        self._held: list[Alert] = []
        self._due: list[Alert] = []

    @classmethod
    def restored(cls, *, settings: AlarmSettings, saved: Mapping[str, object] | None, t: float) -> Alarm:
        """Continue after a restart from the result of `snapshot`; a damaged one is ignored.

        An exit delay and the triggered time start over. An entry delay does not: how long the
        service was down is unknown and no DISARM came, so the alarm is triggered and the next
        `tick` returns every alert that was held back (their pictures are lost).
        """
        alarm = cls(settings=settings, t=t)
        if saved is not None:
            try:
                alarm._load(saved)
            except (KeyError, TypeError, ValueError):
                return cls(settings=settings, t=t)
        return alarm

    def snapshot(self) -> dict[str, Any]:
        """The state for `restored`, JSON types only; equal as long as nothing happens."""
        held = [dump(alert) for alert in (*self._due, *self._held)]
        return {"mode": self._mode, "phase": self._phase, "held": held}

    def _load(self, saved: Mapping[str, Any]) -> None:
        mode, phase = saved["mode"], saved["phase"]
        if mode not in (None, *get_args(ArmedState)) or phase not in get_args(_Phase):
            raise ValueError("not an alarm's state")
        if mode is None and phase != "settled":
            raise ValueError("a disarmed alarm has nothing under way")
        due = [load(document, t=self._now) for document in saved["held"]]
        self._mode, self._due = mode, due
        self._phase = "triggered" if phase == "entering" else phase

    @property
    def state(self) -> AlarmState:
        if self._mode is None:
            return "disarmed"
        if self._phase == "triggered":
            return "triggered"
        return self._mode if self._phase == "settled" else "pending"

    @property
    def armed_as(self) -> ArmedState | None:
        """How it is armed now; None while disarmed or while the exit delay runs."""
        return None if self._phase == "leaving" else self._mode

    @property
    def mode(self) -> ArmedState | None:
        """How it is armed, also while a delay runs or an alarm sounds; None: disarmed."""
        return self._mode

    def use_settings(self, settings: AlarmSettings) -> None:
        """Use other delays from now on, also for those that are running; no held alert is lost."""
        self._settings = settings

    def command(self, command: str, t: float) -> None:
        """ARM_AWAY, ARM_HOME or DISARM; repeating one changes nothing. Raises ValueError for any other.

        Arming never ends an alarm: during an intrusion it only changes the state that follows.
        """
        if command == "DISARM":
            self._now = max(self._now, t)
            self._mode = None
            self._enter("settled")
            self._held.clear()
            self._due.clear()
            return
        if command not in _ARM:
            raise ValueError(f"unknown alarm command: use {', '.join(_ARM)} or DISARM")
        self._advance(t)
        if _ARM[command] == self._mode:
            return
        self._mode = _ARM[command]
        if self._phase in ("settled", "leaving"):
            self._enter("leaving" if self._settings.exit_delay_s > 0 else "settled")

    def intrusion(self, alert: Alert, t: float) -> tuple[Alert, ...]:
        """Take an alert; returns the alerts to publish now: none during an entry delay, or when not armed."""
        due = self.tick(t)
        if self.armed_as is None:
            return due
        if self._phase == "settled" and self._settings.entry_delay_s > 0:
            self._enter("entering")
        if self._phase == "entering":
            self._held.append(alert)
            return due
        self._enter("triggered")  # also if it is already: `trigger_s` starts over
        return (*due, alert)

    def tick(self, t: float) -> tuple[Alert, ...]:
        """Advance to time `t`; returns the alerts held back by an entry delay that is now over, each once."""
        self._advance(t)
        due, self._due = tuple(self._due), []
        return due

    def _advance(self, t: float) -> None:
        self._now = max(self._now, t)
        passed = self._now - self._since
        if self._phase == "leaving" and passed >= self._settings.exit_delay_s:
            self._enter("settled")
        elif self._phase == "entering" and passed >= self._settings.entry_delay_s:
            self._enter("triggered")
            self._due += self._held
            self._held.clear()
        elif self._phase == "triggered" and passed >= self._settings.trigger_s:
            self._enter("settled")

    def _enter(self, phase: _Phase) -> None:
        self._phase, self._since = phase, self._now
