from __future__ import annotations

import logging
from pathlib import Path

import pytest

from support.commanded import Commanded


@pytest.fixture
def service(tmp_path: Path) -> Commanded:
    return Commanded(tmp_path)


@pytest.fixture
def guarded(tmp_path: Path) -> Commanded:
    return Commanded(tmp_path, {"alarm": {"code": "7391"}})


def test_what_it_subscribes_to(service: Commanded) -> None:
    assert {topic for topic, _ in service.commands.handlers()} == {
        "detector/alarm/set",
        "detector/+/detect/set",
        "detector/+/snooze/set",
        "detector/+/suppress/set",
        "detector/restart/set",
        "homeassistant/status",
    }


def test_without_discovery_nobody_is_asked_for_home_assistant(tmp_path: Path) -> None:
    commands = Commanded(tmp_path, {"mqtt": {"discovery_prefix": None, "topic_prefix": "p"}}).commands
    topics = [topic for topic, _ in commands.handlers()]
    wanted = ["p/alarm/set", "p/+/detect/set", "p/+/snooze/set", "p/+/suppress/set", "p/restart/set"]
    assert topics == wanted


@pytest.mark.parametrize("payload", [b" disarm\n", b'{"action": "disarm"}', b'{"action":"DISARM","code":null}'])
def test_the_alarm_is_set_whatever_the_case(service: Commanded, payload: bytes) -> None:
    service.send("detector/alarm/set", payload)
    assert service.alarm.state == "disarmed"


@pytest.mark.parametrize("mode", ["away", "home", "night", "vacation"])
def test_each_way_of_arming(service: Commanded, mode: str) -> None:
    service.send("detector/alarm/set", b"DISARM")
    service.send("detector/alarm/set", f"ARM_{mode.upper()}".encode())
    assert service.alarm.state == f"armed_{mode}"


@pytest.mark.parametrize(
    "payload", [b"DISARM", b'{"action":"DISARM"}', b'{"action":"DISARM","code":"7392"}', b"ARM_HOME"]
)
def test_with_a_code_nothing_is_disarmed_without_it(guarded: Commanded, payload: bytes) -> None:
    guarded.send("detector/alarm/set", payload)
    assert (guarded.alarm.state, guarded.refused.total) == ("armed_away", 1)


def test_with_the_code_it_is_disarmed_and_armed_again_without(guarded: Commanded) -> None:
    states: list[str] = []
    for payload in (b'{"action":"DISARM","code":"7391"}', b"ARM_NIGHT"):
        guarded.send("detector/alarm/set", payload)
        states.append(guarded.alarm.state)
    assert states == ["disarmed", "armed_night"]


@pytest.mark.parametrize(
    "payload",
    [b"7391", b'{"action":"DISARMED","code":"7391"}', b'{"action":"DISARM","code":7391}', b"DISARM 7391",
     b'{"action":"DISARM","code":"\\ud800"}', b'{"action":"DISARM","code":"7391"'],
)  # fmt: skip
def test_the_code_is_never_logged(guarded: Commanded, caplog: pytest.LogCaptureFixture, payload: bytes) -> None:
    with caplog.at_level(logging.DEBUG):
        guarded.send("detector/alarm/set", payload)
    assert (guarded.alarm.state, guarded.refused.total) == ("armed_away", 1)
    assert "7391" not in caplog.text
    assert len(caplog.records) == 1


def test_codes_cannot_be_guessed(guarded: Commanded) -> None:
    states: list[str] = []
    for code in range(7300, 7400):
        guarded.send("detector/alarm/set", b'{"action":"DISARM","code":"%d"}' % code)
        states.append(guarded.alarm.state)
    assert set(states) == {"armed_away"}, "after five wrong ones the right one is not compared either"
    guarded.clock.now_mono += 61
    guarded.send("detector/alarm/set", b'{"action":"DISARM","code":"7391"}')
    assert guarded.alarm.state == "disarmed"


def test_detection_is_switched_of_known_cameras_only(service: Commanded) -> None:
    service.send("detector/porch/detect/set", b"OFF")
    service.send("detector/porch/detect/set", b"on")
    service.send("detector/attic/detect/set", b"ON")
    assert service.switched == [("porch", False), ("porch", True)]


def test_a_camera_is_snoozed_and_woken(service: Commanded) -> None:
    service.send("detector/porch/snooze/set", b"1800")
    service.send("detector/porch/snooze/set", b"0")
    assert service.snoozed == [("p/porch/snooze/state", True), ("p/porch/snooze/state", False)]


def test_a_restart_is_asked_for(service: Commanded) -> None:
    service.send("detector/restart/set", b"RESTART")
    assert service.restart.is_set()


def test_a_visit_is_marked_as_nobody(service: Commanded) -> None:
    service.suppressing.visit("1-a")
    service.send("detector/porch/suppress/set", b" 1-a\n")
    assert [one["id"] for one in service.suppressing.suppressions.list()] == ["1-a"]


def test_home_assistants_return_is_answered(service: Commanded) -> None:
    service.send("homeassistant/status", b"offline")
    assert service.announced == 0
    service.send("homeassistant/status", b"online")
    assert service.announced == 1
    service.clock.now_mono += 5
    service.send("homeassistant/status", b"online")
    assert service.announced == 2


def test_1000_births_in_a_second_are_answered_once(service: Commanded) -> None:
    for _ in range(1000):
        service.send("homeassistant/status", b"online")
    assert service.announced == 1


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("detector/alarm/set", b"OPEN SESAME"),
        ("detector/alarm/set", b""),
        ("detector/alarm/set", b"\xff\x00" * 1000),
        ("detector/alarm/set", b"DISARM" + b" " * 1000),
        ("detector/alarm/set", b"DISARM" * 1_000_000),
        ("detector/alarm/set", b"{" * 200),
        ("detector/alarm/set", b'{"action": ["DISARM"]}'),
        ("detector/alarm/set", b'["DISARM"]'),
        ("detector/alarm/set", b"null"),
        ("detector/porch/detect/set", b"maybe"),
        ("detector/porch/detect/set", b"1"),
        ("detector/porch/detect/set", b"ON\0"),
        ("detector/nowhere/detect/set", b"ON"),
        ("detector/\n2026 CRITICAL forged/detect/set", b"ON"),
        (f"detector/{'x' * 60_000}/detect/set", b"ON"),
        ("detector//detect/set", b"ON"),
        ("detector/porch/snooze/set", b"-5"),
        ("detector/porch/snooze/set", b"1e3"),
        ("detector/porch/snooze/set", b"86401"),
        ("detector/porch/snooze/set", b"9" * 250),
        ("detector/porch/snooze/set", "١٢".encode()),
        ("detector/porch/snooze/set", b'{"seconds": 5}'),
        ("detector/porch/snooze/set", b""),
        ("detector/nowhere/snooze/set", b"60"),
        ("detector/restart/set", b"ON"),
        ("detector/restart/set", b""),
        ("detector/porch/suppress/set", b""),
        ("detector/porch/suppress/set", b"1790000000.250000-000000"),
        ("detector/porch/suppress/set", b"../../secret"),
        ("detector/porch/suppress/set", b'{"id": "1-a"}'),
        ("detector/porch/suppress/set", b"1-a\x00" * 5000),
        ("detector/porch/suppress/set", b"LATEST"),
        ("detector/nowhere/suppress/set", b"1-a"),
    ],
)  # fmt: skip
def test_nonsense_is_named_and_has_no_effect(
    service: Commanded, caplog: pytest.LogCaptureFixture, topic: str, payload: bytes
) -> None:
    before = service.alarm.state
    with caplog.at_level(logging.WARNING):
        service.send(topic, payload)
    (line,) = caplog.messages
    assert "not a command" in line
    assert "\n" not in line
    assert len(line) < 500
    assert (service.switched, service.snoozed, service.alarm.state, service.refused.total) == ([], [], before, 1)
    assert not service.restart.is_set()
    assert service.suppressing.suppressions.list() == []


def test_3000_bad_commands_make_one_line_a_minute_and_are_counted(
    service: Commanded, caplog: pytest.LogCaptureFixture
) -> None:
    topics = ("alarm/set", "porch/detect/set", "porch/snooze/set", "restart/set", "attic/detect/set")
    for number in range(3000):
        service.send(f"detector/{topics[number % 5]}", b"nonsense %d" % number)
        service.clock.now_mono += 0.05  # 150 s in all
    assert len([one for one in caplog.records if "not a command" in one.message]) == 3
    assert len(caplog.records) == 3
    assert service.refused.total == 3000


def test_a_retained_code_is_not_written_down(guarded: Commanded, caplog: pytest.LogCaptureFixture) -> None:
    for payload in (b'{"action":"DISARM","code":"7391"}', b"7391", b'{"code":"7391"}'):
        guarded.commands.on_retained_alarm("detector/alarm/set", payload)
    assert guarded.alarm.state == "armed_away"
    assert "7391" not in f"{caplog.text}{guarded.alarm.audit.entries()}"


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
