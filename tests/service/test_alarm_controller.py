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


class Ears:
    def __init__(self) -> None:
        self.sent: list[Alert] = []
        self.told: list[tuple[AlarmState, Mapping[str, object]]] = []

    def desk(self, clock: HeldClock, saved: Mapping[str, object] | None = None, **settings: float) -> AlarmController:
        return AlarmController(
            settings=AlarmSettings.model_validate(settings),
            saved=saved,
            clock=clock,
            send=self.sent.append,
            tell=lambda state, snapshot: self.told.append((state, snapshot)),
        )


@pytest.fixture
def alert() -> Alert:
    walk = RuleWalk()
    while not walk.alerts:
        walk.step((1, person(0.5)))
    return walk.outcomes[-1].alerts[0]


def test_it_tells_each_change_once(alert: Alert) -> None:
    ears = Ears()
    desk = ears.desk(HeldClock())
    desk.announce()
    desk.tick()
    desk.command("DISARM")
    desk.command("DISARM")
    desk.intrusion(alert)
    assert [state for state, _ in ears.told] == ["armed_away", "disarmed"]
    assert ears.sent == []


def test_an_entry_delay_holds_the_alert_and_lets_it_go(alert: Alert) -> None:
    clock, ears = HeldClock(), Ears()
    desk = ears.desk(clock, entry_delay_s=10)
    desk.intrusion(alert)
    assert (desk.state, ears.sent) == ("pending", [])
    clock.now = 10.1
    desk.tick()
    assert (desk.state, ears.sent) == ("triggered", [alert])


def test_what_it_tells_restores_it_held_alerts_included(alert: Alert) -> None:
    clock, ears = HeldClock(), Ears()
    ears.desk(clock, entry_delay_s=10).intrusion(alert)
    again = Ears()
    desk = again.desk(clock, saved=ears.told[-1][1], entry_delay_s=10)
    desk.tick()
    assert [a.id for a in again.sent] == [alert.id]
    assert desk.state == "triggered"


def test_other_delays_leave_the_state(alert: Alert) -> None:
    desk = Ears().desk(HeldClock())
    desk.command("ARM_HOME")
    desk.reconfigure(AlarmSettings(initial="disarmed", exit_delay_s=5))
    assert (desk.state, desk.armed_as) == ("armed_home", "armed_home")
    with pytest.raises(ValueError, match="unknown alarm command"):
        desk.command("OPEN")


def test_threads_may_call_at_the_same_time() -> None:
    ears = Ears()
    desk = ears.desk(HeldClock())

    def flip() -> None:
        for _ in range(200):
            desk.command("ARM_HOME")
            desk.command("DISARM")

    threads = [threading.Thread(target=flip) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = [state for state, _ in ears.told]
    assert all(a != b for a, b in itertools.pairwise(states)), "no state is told twice in a row"
