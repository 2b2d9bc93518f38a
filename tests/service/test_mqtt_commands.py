from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from detector.alerts.payloads import Topics
from detector.config.schema import Camera
from detector.mqtt.broker.topic_filter import matches
from detector.service.camera_switches import CameraSwitches
from detector.service.mqtt_commands import MqttCommands
from support.service import make_arming, make_store
from support.suppressing import Suppressing
from support.visits import StillClock


@dataclass
class Commanded:
    """The commands over a real alarm, real switches and suppressions; `send` gives a message as the client would."""

    folder: Path
    switched: list[tuple[str, bool]] = field(default_factory=list)
    announced: int = 0

    def __post_init__(self) -> None:
        self.clock = StillClock()
        self.suppressing = Suppressing(self.folder)
        self.alarm = make_arming(StillClock())
        self.commands = MqttCommands(
            topics=Topics("detector"),
            store=make_store(),
            alarm=self.alarm,
            switches=CameraSwitches(
                saved=None, channels=self, save=lambda _name, _document: None, publish=lambda _camera, _on: None
            ),
            announce=self._announce,
            suppressions=self.suppressing.suppressions,
            clock=self.clock,
        )

    def _announce(self) -> None:
        self.announced += 1

    def add(self, name: str, settings: Camera, *, enabled: bool) -> None: ...

    def remove(self, name: str) -> None: ...

    def switch(self, name: str, *, enabled: bool) -> None:
        self.switched.append((name, enabled))

    def send(self, topic: str, payload: bytes) -> None:
        for topic_filter, handler in self.commands.handlers():
            if matches(topic_filter, topic):
                handler(topic, payload)


@pytest.fixture
def service(tmp_path: Path) -> Commanded:
    return Commanded(tmp_path)


def test_what_it_subscribes_to(service: Commanded) -> None:
    assert {topic for topic, _ in service.commands.handlers()} == {
        "detector/alarm/set",
        "detector/+/detect/set",
        "detector/+/suppress/set",
        "homeassistant/status",
    }


def test_without_discovery_nobody_is_asked_for_home_assistant(tmp_path: Path) -> None:
    store = make_store({"cameras": {"porch": {"source": "x"}}, "mqtt": {"discovery_prefix": None}})
    given = Commanded(tmp_path)
    commands = MqttCommands(
        topics=Topics("p"),
        store=store,
        alarm=given.alarm,
        switches=CameraSwitches(saved=None, channels=given, save=lambda _n, _d: None, publish=lambda _c, _o: None),
        announce=lambda: None,
        suppressions=given.suppressing.suppressions,
    )
    assert [topic for topic, _ in commands.handlers()] == ["p/alarm/set", "p/+/detect/set", "p/+/suppress/set"]


def test_the_alarm_is_set_whatever_the_case(service: Commanded) -> None:
    service.send("detector/alarm/set", b" disarm\n")
    assert service.alarm.state == "disarmed"


def test_detection_is_switched_of_known_cameras_only(service: Commanded) -> None:
    service.send("detector/porch/detect/set", b"OFF")
    service.send("detector/porch/detect/set", b"on")
    service.send("detector/attic/detect/set", b"ON")
    assert service.switched == [("porch", False), ("porch", True)]


def test_a_visit_is_marked_as_nobody(service: Commanded) -> None:
    service.suppressing.visit("1-a")
    service.send("detector/porch/suppress/set", b" 1-a\n")
    assert [one["id"] for one in service.suppressing.suppressions.list()] == ["1-a"]


def test_home_assistants_return_is_answered(service: Commanded) -> None:
    service.send("homeassistant/status", b"offline")
    assert service.announced == 0
    service.send("homeassistant/status", b"online")
    assert service.announced == 1


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("detector/alarm/set", b"OPEN SESAME"),
        ("detector/alarm/set", b"\xff\x00" * 1000),
        ("detector/porch/detect/set", b"maybe"),
        ("detector/nowhere/detect/set", b"ON"),
        ("detector/porch/suppress/set", b""),
        ("detector/porch/suppress/set", b"1790000000.250000-000000"),
        ("detector/porch/suppress/set", b"../../secret"),
        ("detector/porch/suppress/set", b'{"id": "1-a"}'),
        ("detector/porch/suppress/set", b"1-a\x00" * 5000),
        ("detector/porch/suppress/set", b"LATEST"),
        ("detector/nowhere/suppress/set", b"1-a"),
    ],
)
def test_nonsense_is_named_and_has_no_effect(
    service: Commanded, caplog: pytest.LogCaptureFixture, topic: str, payload: bytes
) -> None:
    before = service.alarm.state
    with caplog.at_level(logging.WARNING):
        service.send(topic, payload)
    assert "not a command" in caplog.text
    assert len(caplog.text) < 1000
    assert (service.switched, service.alarm.state) == ([], before)
    assert service.suppressing.suppressions.list() == []


def test_3000_bad_commands_make_one_line_a_minute_and_are_counted(
    service: Commanded, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3000):
        service.send("detector/alarm/set", b"nonsense %d" % number)
        service.clock.now_mono += 0.05  # 150 s in all
    assert len([one for one in caplog.records if "not a command" in one.message]) == 3
    assert "(2403 so far" in caplog.text
    assert service.commands.refused == 3000


def test_a_retained_command_is_written_down_and_has_no_effect(service: Commanded) -> None:
    service.commands.on_retained_alarm("detector/alarm/set", b"DISARM")
    service.commands.on_retained_alarm("detector/alarm/set", b"DISARM")
    assert service.alarm.state == "armed_away"
    (entry,) = service.alarm.audit.entries()
    assert (entry["command"], entry["times"]) == (None, 2)
    assert "retained 'DISARM' was ignored" in entry["why"]


def test_who_disarmed_is_kept(service: Commanded) -> None:
    service.send("detector/alarm/set", b"DISARM")
    assert service.alarm.audit.entries()[-1]["by"] == "MQTT"
    assert service.alarm.document()["because"] == "disarmed by MQTT"
