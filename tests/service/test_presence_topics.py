"""Phones over a real Mosquitto that keeps retained messages: who comes home disarms, what was kept does not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from detector.alerts.topics import Topics
from detector.config import document as config_file
from detector.mqtt.client import MqttClient
from detector.service.alarm_code import AlarmCode
from detector.service.alarm_controller import AlarmController
from detector.service.arming import ArmingController
from detector.service.camera_switches import CameraSwitches
from detector.service.mqtt_commands import MqttCommands
from detector.service.presence import SETTLE_S
from detector.service.presence_topics import PresenceTopics
from detector.service.refused_commands import RefusedCommands
from support.clocks import SetClock
from support.links import connected, make_link
from support.messages import running
from support.mosquitto import Mosquitto, RecordingSubscriber, wait_until
from support.service import make_arming, make_store
from support.visits import StillClock

DOCUMENT: dict[str, Any] = {
    "cameras": {"porch": {"source": "x"}},
    "presence": {"topics": {"alice": {"topic": "phones/alice"}, "bob": {"topic": "phones/bob", "away": "*"}}},
}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path / "mosquitto", persistent=True)
    mosquitto.start()
    yield mosquitto
    mosquitto.kill()


@pytest.fixture
def phone(broker: Mosquitto) -> Iterator[RecordingSubscriber]:
    subscriber = RecordingSubscriber(broker.port, "none")
    yield subscriber
    subscriber.close()


@dataclass
class PhonesAndBroker:
    """Alarm, arming and topics as the service wires them, on a clock of the test's own; `kept` outlives a restart."""

    broker: Mosquitto
    kept: dict[str, Any] = field(default_factory=dict)
    clock: SetClock = field(default_factory=lambda: SetClock(now=1000.0, wall_ahead=1_781_000_000.0))
    connects: int = 0

    def _arming(self) -> ArmingController:
        config = config_file.validate(DOCUMENT)
        alarm = AlarmController(
            settings=config.alarm,
            saved=self.kept.get("alarm"),
            clock=self.clock,
            send=lambda _alert: None,
            on_change=lambda _state, snapshot: self.kept.__setitem__("alarm", snapshot),
        )
        return ArmingController(
            alarm=alarm, config=config, saved=self.kept.get("arming"), clock=self.clock, save=self.kept.__setitem__
        )

    @contextmanager
    def started(self) -> Iterator[MqttClient]:
        self.arming = self._arming()
        refused = RefusedCommands()
        topics = PresenceTopics(config=config_file.validate(DOCUMENT), arming=self.arming, refused=refused)
        commands = MqttCommands(
            topics=Topics("detector"),
            store=make_store(DOCUMENT),
            alarm=self.arming,
            switches=CameraSwitches(saved=None, channels=None, save=lambda *_: None, publish=lambda *_: None),  # type: ignore[arg-type]  # not used
            announce=lambda: None,
            suppressions=None,  # type: ignore[arg-type]  # not used
            snoozes=None,  # type: ignore[arg-type]  # not used
            code=AlarmCode(code=lambda: None),
            restart=threading.Event(),
            refused=refused,
        )
        link = make_link(self.broker.port)
        for topic_filter, handler in commands.handlers():
            link.subscribe(topic_filter, handler)
        link.subscribe_retained("detector/alarm/set", commands.on_retained_alarm)
        topics.subscribe(link)
        link.listen_connected(self._connected)
        with running(link.run):
            connected(link)
            yield link

    def _connected(self) -> None:
        self.connects += 1
        self.arming.connected()

    def settle(self) -> None:
        self.clock.now += SETTLE_S + 1
        self.arming.tick()

    def where(self, name: str) -> tuple[str | None, bool]:
        person = self.arming.document()["people"][name]
        return person["where"], person["confirmed"]

    def ignored(self) -> int:
        return sum(entry["times"] for entry in self.arming.audit.entries() if "'DISARM' was ignored" in entry["why"])

    def wait_where(self, name: str, where: str) -> None:
        wait_until(lambda: self.where(name)[0] == where, f"{name} is not {where}")


def test_who_leaves_arms_and_who_comes_disarms(broker: Mosquitto, phone: RecordingSubscriber) -> None:
    home = PhonesAndBroker(broker)
    with home.started():
        home.settle()
        home.arming.command("DISARM", by="MQTT")
        phone.publish("phones/alice", "not_home", retain=True)
        phone.publish("phones/bob", "Work", retain=True)
        wait_until(lambda: home.arming.state == "armed_away")
        phone.publish("phones/bob", "home", retain=True)
        wait_until(lambda: home.arming.state == "disarmed")
        assert home.arming.document()["because"] == "disarmed because bob came home"


def test_retained_messages_disarm_at_no_start_and_at_no_reconnect(
    broker: Mosquitto, phone: RecordingSubscriber
) -> None:
    phone.publish("phones/alice", "not_home", retain=True)
    phone.publish("phones/bob", "not_home", retain=True)
    phone.publish("detector/alarm/set", "DISARM", retain=True)
    home = PhonesAndBroker(broker)
    with home.started():
        home.wait_where("bob", "away")
        home.settle()
        assert home.arming.state == "armed_away"
    phone.publish("phones/alice", "home", retain=True)  # while the service is down
    with home.started():
        home.wait_where("alice", "home")
        home.settle()
        assert (home.where("alice"), home.arming.state) == (("home", False), "armed_away")
        broker.save()
        broker.kill()
        broker.start()
        wait_until(lambda: home.connects == 3)
        wait_until(lambda: home.ignored() == 3, "each of the three retained DISARMs is written down")
        home.settle()
        assert home.arming.state == "armed_away"
        wait_until(phone._client.is_connected)
        phone.publish("phones/alice", "not_home", retain=True)
        home.wait_where("alice", "away")
        phone.publish("phones/alice", "home", retain=True)
        wait_until(lambda: home.arming.state == "disarmed", "but coming home does")


def test_what_a_phone_says_again_after_the_broker_came_back_does_not_disarm(
    broker: Mosquitto, phone: RecordingSubscriber
) -> None:
    home = PhonesAndBroker(broker)
    with home.started():
        home.settle()
        phone.publish("phones/alice", "not_home")
        phone.publish("phones/bob", "not_home")
        home.wait_where("bob", "away")
        broker.kill()
        broker.start()
        wait_until(lambda: home.connects == 2)
        wait_until(phone._client.is_connected)
        phone.publish("phones/bob", "home")  # not retained: a bridge or an automation that starts again
        home.wait_where("bob", "home")
        home.settle()
        assert (home.where("bob"), home.arming.state) == (("home", False), "armed_away")


def test_a_durable_session_of_ours_that_would_queue_commands_does_not_exist(
    broker: Mosquitto, phone: RecordingSubscriber
) -> None:
    home = PhonesAndBroker(broker)
    with home.started():
        home.settle()
    phone.publish("detector/alarm/set", "DISARM")  # while it is away: a broker would keep it for a durable session
    with home.started():
        home.settle()
        phone.publish("detector/alarm/set", "ARM_HOME")
        wait_until(lambda: home.arming.state == "armed_home")
        assert [entry["command"] for entry in home.arming.audit.entries()] == ["ARM_HOME"]


def test_two_people_may_share_a_topic() -> None:
    document = {**DOCUMENT, "presence": {"topics": {"a": {"topic": "family"}, "b": {"topic": "family", "home": "all"}}}}
    arming = make_arming(StillClock(), document)
    refused = RefusedCommands()
    topics = PresenceTopics(config=config_file.validate(document), arming=arming, refused=refused)
    ((_, handler, _),) = topics.handlers()
    handler("family", b"not_home")
    handler("family", b"all")
    assert {name: person["where"] for name, person in arming.document()["people"].items()} == {"a": "away", "b": "home"}
    assert refused.total == 0


@pytest.mark.parametrize("payload", [b"", b"maybe", b"\xff\xfe", b"home" * 1000, b'{"state": "home"}', b"HOME"])
def test_nonsense_changes_nothing_is_counted_and_logged_once_a_minute(
    payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    arming, clock = make_arming(StillClock(), DOCUMENT), StillClock()
    refused = RefusedCommands(clock)
    topics = PresenceTopics(config=config_file.validate(DOCUMENT), arming=arming, refused=refused)
    handler = topics.handlers()[0][1]
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            handler("phones/alice", payload)
            clock.now_mono += 0.1  # 100 s in all
    assert refused.total == 1000
    assert len([one for one in caplog.records if "neither home nor away" in one.message]) == 2
    assert max(len(one.getMessage()) for one in caplog.records) < 600
    assert arming.document()["people"]["alice"]["where"] is None
