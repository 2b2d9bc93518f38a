from __future__ import annotations

import threading
from typing import Any

import pytest

from detector.alerts.topics import Topics
from detector.config import document as config_file
from detector.core.types import Message
from detector.mqtt.broker.topic_filter import matches
from detector.service.frigate_commands import FrigateCommands
from detector.service.frigate_switches import SETTINGS
from detector.service.frigate_topics import FrigateTopics
from detector.service.refused_commands import RefusedCommands
from detector.service.snooze import Snoozes
from support.frigate import RecordingSink
from support.visits import StillClock

DOCUMENT: dict[str, Any] = {
    "cameras": {"porch": {"source": "usb://0", "clip": {"enabled": False}}},
    "mqtt": {"topic_prefix": "frigate"},
}


class FrigateCommanded:
    """The commands over real parts; `send` gives a message as the client would."""

    def __init__(self) -> None:
        config, self.clock = config_file.validate(DOCUMENT), StillClock()
        self.heard, self.restart, self.refused = RecordingSink(), threading.Event(), RefusedCommands(self.clock)
        topics = FrigateTopics(sink=self.heard, config=lambda: config)
        self.snoozes = Snoozes(
            topics=Topics("frigate"),
            saved=None,
            save=lambda _name, _document: None,
            send=self.heard.send,
            clock=self.clock,
            listener=topics.snoozed,
        )
        self._commands = FrigateCommands(
            config=lambda: config, topics=topics, snoozes=self.snoozes, restart=self.restart, refused=self.refused
        )

    def send(self, topic: str, payload: bytes) -> None:
        took = [handler for known, handler in self._commands.handlers() if matches(known, topic)]
        assert len(took) == 1, f"{topic} is taken by {len(took)}"
        took[0](topic, payload)


@pytest.fixture
def commanded() -> FrigateCommanded:
    return FrigateCommanded()


def test_suspended_notifications_are_a_snooze(commanded: FrigateCommanded) -> None:
    commanded.send("frigate/porch/notifications/suspend", b"5")
    assert commanded.snoozes.is_snoozed("porch")
    until = int(commanded.clock.now_wall + 300)
    assert commanded.heard.last["porch/notifications/suspended"] == str(until)
    commanded.send("frigate/porch/notifications/suspend", b"0")
    assert not commanded.snoozes.is_snoozed("porch")
    assert commanded.heard.last["porch/notifications/suspended"] == "0"
    assert commanded.refused.total == 0


@pytest.mark.parametrize("payload", [b"", b"-5", b"5.5", b"x", b"1441", b"9" * 4301, b"\xd9\xa5", b"\xff"])
def test_no_minutes_are_refused(commanded: FrigateCommanded, payload: bytes) -> None:
    commanded.send("frigate/porch/notifications/suspend", payload)
    assert not commanded.snoozes.is_snoozed("porch")
    assert (commanded.refused.total, commanded.heard.messages) == (1, [])


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_is_not_switched_says_its_state_again(commanded: FrigateCommanded, setting: str) -> None:
    commanded.send(f"frigate/porch/{setting}/set", b"ON")
    known = {"recordings": "OFF", "audio": "OFF", "improve_contrast": "OFF"}
    (said,) = commanded.heard.messages
    assert said == Message(topic=f"frigate/porch/{setting}/state", payload=said.payload, retain=True)
    assert said.payload.decode() == known.get(setting, said.payload.decode())
    assert commanded.refused.total == 1


@pytest.mark.parametrize("topic", ["nowhere/motion/set", "nowhere/notifications/suspend", "/motion/set"])
def test_an_unknown_camera_is_refused(commanded: FrigateCommanded, topic: str) -> None:
    commanded.send(f"frigate/{topic}", b"5")
    assert (commanded.refused.total, commanded.heard.messages) == (1, [])


def test_restart(commanded: FrigateCommanded) -> None:
    commanded.send("frigate/restart", b"")
    assert commanded.restart.is_set()
