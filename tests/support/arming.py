"""Alarm and arming over a clock that the test sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from detector.config import document as config_file
from detector.config.schema import Config
from detector.core.types import Alert
from detector.service.alarm_controller import AlarmController
from detector.service.arming import ArmingController
from support.clocks import SetClock
from support.people import RuleWalk, person

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = {"night": {"start": "22:30", "end": "06:30"}}
PEOPLE = {"topics": {"alice": {"topic": "phones/alice"}, "bob": {"topic": "phones/bob"}}}


def berlin(text: str) -> float:
    """Epoch s of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def an_intrusion() -> Alert:
    walk = RuleWalk()
    while not walk.alerts:
        walk.step((1, person(0.5)))
    return walk.outcomes[-1].alerts[0]


@dataclass
class ArmingBench:
    """The real parts on a clock that the test sets; `restart` makes them again from what was kept."""

    sections: dict[str, Any]
    begin: str = "2026-06-10 12:00"
    synced: bool = True
    published: list[Mapping[str, Any]] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = SetClock(now=1000.0)
        self.clock.wall_ahead = berlin(self.begin) - self.clock.now
        self.restart()

    @property
    def config(self) -> Config:
        document = {"cameras": {"porch": {"source": "x"}}, "location": {"timezone": "Europe/Berlin"}, **self.sections}
        return config_file.validate(document)

    def restart(self) -> None:
        def keep(name: str, document: Any) -> None:
            self.kept[name] = json.loads(json.dumps(document))

        self.alarm = AlarmController(
            settings=self.config.alarm,
            saved=self.kept.get("alarm"),
            clock=self.clock,
            send=lambda _alert: None,
            on_change=lambda _state, snapshot: keep("alarm", snapshot),
        )
        self.arming = ArmingController(
            alarm=self.alarm,
            config=self.config,
            saved=self.kept.get("arming"),
            clock=self.clock,
            clock_synced=lambda: self.synced,
            save=keep,
            publish=self.published.append,
        )
        self.connect()

    def connect(self) -> None:
        self.arming.connected()
        self.pass_time(10)

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.arming.tick()

    def until(self, text: str, *, step: float = 300.0) -> None:
        while (left := berlin(text) - self.clock.wall()) > 0:
            self.pass_time(min(left, step))

    def phone(self, name: str, where: Any, *, retained: bool = False) -> None:
        self.arming.person(name, where, retained=retained)

    def state(self) -> str:
        return self.alarm.state

    @property
    def because(self) -> str:
        return str(self.arming.document()["because"])

    def audit(self) -> list[tuple[str | None, str]]:
        return [(entry["command"], entry["by"]) for entry in self.arming.audit.entries()]
