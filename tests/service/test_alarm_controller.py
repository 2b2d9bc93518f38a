from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping

import pytest

from detector.config.schema import AlarmSettings
from detector.core.types import AlarmState, Alert
from detector.service.alarm_controller import AlarmController
from support.people import RuleWalk, person


class HeldClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def mono(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


class Recorded:
    def __init__(self) -> None:
        self.sent: list[Alert] = []
        self.changes: list[tuple[AlarmState, Mapping[str, object]]] = []

    def controller(
        self, clock: HeldClock, saved: Mapping[str, object] | None = None, **settings: float
    ) -> AlarmController:
        return AlarmController(
            settings=AlarmSettings.model_validate(settings),
            saved=saved,
            clock=clock,
            send=self.sent.append,
            on_change=lambda state, snapshot: self.changes.append((state, snapshot)),
        )


@pytest.fixture
def alert() -> Alert:
    walk = RuleWalk()
    while not walk.alerts:
        walk.step((1, person(0.5)))
    return walk.outcomes[-1].alerts[0]


def test_each_change_is_published_once(alert: Alert) -> None:
    recorded = Recorded()
    alarm = recorded.controller(HeldClock())
    alarm.announce()
    alarm.tick()
    alarm.command("DISARM")
    alarm.command("DISARM")
    alarm.intrusion(alert)
    assert [state for state, _ in recorded.changes] == ["armed_away", "disarmed"]
    assert recorded.sent == []


def test_an_entry_delay_holds_the_alert_and_lets_it_go(alert: Alert) -> None:
    clock, recorded = HeldClock(), Recorded()
    alarm = recorded.controller(clock, entry_delay_s=10)
    alarm.intrusion(alert)
    assert (alarm.state, recorded.sent) == ("pending", [])
    clock.now = 10.1
    alarm.tick()
    assert (alarm.state, recorded.sent) == ("triggered", [alert])


def test_a_kept_snapshot_restores_it_held_alerts_included(alert: Alert) -> None:
    clock, recorded = HeldClock(), Recorded()
    recorded.controller(clock, entry_delay_s=10).intrusion(alert)
    again = Recorded()
    alarm = again.controller(clock, saved=recorded.changes[-1][1], entry_delay_s=10)
    alarm.tick()
    assert [a.id for a in again.sent] == [alert.id]
    assert alarm.state == "triggered"


def test_other_delays_leave_the_state(alert: Alert) -> None:
    alarm = Recorded().controller(HeldClock())
    alarm.command("ARM_HOME")
    alarm.use_settings(AlarmSettings(initial="disarmed", exit_delay_s=5))
    assert (alarm.state, alarm.armed_as) == ("armed_home", "armed_home")
    with pytest.raises(ValueError, match="unknown alarm command"):
        alarm.command("OPEN")


def test_threads_may_call_at_the_same_time() -> None:
    recorded = Recorded()
    alarm = recorded.controller(HeldClock())

    def flip() -> None:
        for _ in range(200):
            alarm.command("ARM_HOME")
            alarm.command("DISARM")

    threads = [threading.Thread(target=flip) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = [state for state, _ in recorded.changes]
    assert all(a != b for a, b in itertools.pairwise(states)), "no state is published twice in a row"
