from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from detector.alerts.payloads import Topics
from detector.config import document
from detector.service.mqtt_commands import Commands
from detector.service.runtime import House


@dataclass
class Desk:
    state: str = "armed_away"
    commands: list[str] = field(default_factory=list)

    def command(self, word: str) -> None:
        if word != "DISARM":
            raise ValueError(word)
        self.commands.append(word)


@dataclass
class SmallHouse:
    """What commands may touch of a house, written down."""

    desk: Desk = field(default_factory=Desk)
    switched: list[tuple[str, bool]] = field(default_factory=list)
    config: Any = field(default_factory=lambda: document.validate({"cameras": {"porch": {"source": "x"}}}))

    def switch_detection(self, camera: str, *, enabled: bool) -> None:
        self.switched.append((camera, enabled))


@pytest.fixture
def house() -> SmallHouse:
    return SmallHouse()


@pytest.fixture
def announced() -> list[int]:
    return []


@pytest.fixture
def commands(house: SmallHouse, announced: list[int]) -> Commands:
    commands = Commands(topics=Topics("detector"), discovery_prefix="homeassistant")
    commands.attach(house=cast("House", house), announce=lambda: announced.append(1))
    return commands


def test_what_it_subscribes_to(commands: Commands) -> None:
    assert set(commands.subscriptions()) == {"detector/alarm/set", "detector/+/detect/set", "homeassistant/status"}
    assert Commands(topics=Topics("p"), discovery_prefix=None).subscriptions() == ["p/alarm/set", "p/+/detect/set"]


def test_the_alarm_is_set_whatever_the_case(commands: Commands, house: SmallHouse) -> None:
    commands.handle("detector/alarm/set", b" disarm\n")
    assert house.desk.commands == ["DISARM"]


def test_detection_is_switched_of_known_cameras_only(commands: Commands, house: SmallHouse) -> None:
    commands.handle("detector/porch/detect/set", b"OFF")
    commands.handle("detector/porch/detect/set", b"on")
    commands.handle("detector/attic/detect/set", b"ON")
    assert house.switched == [("porch", False), ("porch", True)]


def test_home_assistants_return_is_answered(commands: Commands, announced: list[int]) -> None:
    commands.handle("homeassistant/status", b"offline")
    assert announced == []
    commands.handle("homeassistant/status", b"online")
    assert announced == [1]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("detector/alarm/set", b"OPEN SESAME"),
        ("detector/alarm/set", b"\xff\x00" * 1000),
        ("detector/porch/detect/set", b"maybe"),
        ("detector/nobody/detect/set", b"ON"),
    ],
)
def test_nonsense_is_named_and_has_no_effect(
    commands: Commands, house: SmallHouse, caplog: pytest.LogCaptureFixture, topic: str, payload: bytes
) -> None:
    with caplog.at_level(logging.WARNING):
        commands.handle(topic, payload)
    assert "not a command" in caplog.text
    assert len(caplog.text) < 1000
    assert (house.switched, house.desk.commands) == ([], [])


def test_before_the_house_stands_a_command_is_turned_away(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Commands(topics=Topics("detector"), discovery_prefix=None).handle("detector/alarm/set", b"DISARM")
    assert "send it again" in caplog.text
