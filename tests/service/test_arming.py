from __future__ import annotations

import json
from typing import Any

import pytest

from detector.service.arming import JUMP_HOLD_S
from support.arming import NIGHT, PEOPLE, ArmingBench, an_intrusion, berlin

# Schedules


def test_a_schedule_arms_and_disarms_and_says_so() -> None:
    it = ArmingBench({"schedules": NIGHT})
    assert it.state() == "armed_away", "at the first start, as configured"
    it.until("2026-06-10 22:31")
    assert it.state() == "armed_home"
    assert it.because == "armed because of the schedule night until 06:30"
    assert it.published[-1]["until"] == berlin("2026-06-11 06:30")
    it.until("2026-06-11 06:31")
    assert it.state() == "disarmed"
    assert it.because == "disarmed because no schedule arms now"
    assert it.audit() == [("ARM_HOME", "schedule night"), ("DISARM", "schedule")]
    assert it.arming.document()["next"] == "night from 22:30"


def test_a_restart_in_the_night_keeps_the_reason_and_the_end() -> None:
    it = ArmingBench({"schedules": NIGHT})
    it.until("2026-06-10 23:00")
    it.restart()
    assert (it.state(), it.because) == ("armed_home", "armed because of the schedule night until 06:30")
    it.until("2026-06-11 06:31")
    assert it.state() == "disarmed"
    assert len(it.audit()) == 2, "what was before the restart is still there"


def test_an_end_that_was_missed_while_it_was_off_is_followed_at_the_start() -> None:
    it = ArmingBench({"schedules": NIGHT})
    it.until("2026-06-10 23:00")
    it.clock.now += 12 * 3600
    it.restart()
    assert it.state() == "disarmed"


def test_a_command_by_hand_stands_until_the_next_period() -> None:
    it = ArmingBench({"schedules": NIGHT})
    it.until("2026-06-10 23:00")
    it.arming.command("DISARM", by="MQTT")
    it.until("2026-06-11 22:00")
    assert (it.state(), it.because) == ("disarmed", "disarmed by MQTT")
    it.until("2026-06-11 22:31")
    assert it.state() == "armed_home"


@pytest.mark.parametrize("command", ["ARM_AWAY", "ARM_HOME"])
def test_what_was_armed_by_hand_no_schedule_disarms_or_weakens(command: str) -> None:
    it = ArmingBench({"schedules": NIGHT, "alarm": {"initial": "disarmed"}})
    it.until("2026-06-10 22:00")
    it.arming.command(command, by="HTTP from 127.0.0.1")
    state = it.state()
    it.until("2026-06-11 12:00")
    assert it.state() == state
    assert "not followed, the alarm was armed by HTTP" in it.arming.audit.entries()[-1]["why"]
    it.arming.command("DISARM", by="MQTT")
    it.until("2026-06-11 23:00")
    it.until("2026-06-12 07:00")
    assert it.state() == "disarmed", "and by hand it can be given back to the schedule"


def test_arming_by_hand_what_the_schedule_armed_already_makes_it_the_hands() -> None:
    it = ArmingBench({"schedules": NIGHT})
    it.until("2026-06-10 23:00")
    it.arming.command("ARM_HOME", by="MQTT")
    it.until("2026-06-11 07:00")
    assert it.state() == "armed_home"


def test_the_stricter_of_two_schedules_counts_and_the_other_follows() -> None:
    it = ArmingBench({"schedules": {**NIGHT, "late": {"start": "23:00", "end": "02:00", "arm": "armed_away"}}})
    it.until("2026-06-10 23:30")
    assert (it.state(), it.because) == ("armed_away", "armed because of the schedule late until 02:00")
    it.until("2026-06-11 02:01")
    assert (it.state(), it.because) == ("armed_home", "armed because of the schedule night until 06:30")
    it.until("2026-06-11 06:31")
    assert it.state() == "disarmed"


def test_of_two_alike_the_longer_one_is_named_also_when_it_begins_later() -> None:
    it = ArmingBench({"schedules": {**NIGHT, "long": {"start": "23:00", "end": "09:00"}}})
    it.until("2026-06-10 22:40")
    assert it.because.endswith("night until 06:30")
    it.until("2026-06-10 23:10")
    assert it.because.endswith("long until 09:00")


def test_a_schedule_that_is_changed_or_taken_away_acts_at_once() -> None:
    it = ArmingBench({"schedules": NIGHT})
    it.until("2026-06-10 23:00")
    it.sections = {"schedules": {"night": {"start": "22:30", "end": "07:15"}}}
    it.arming.use_config(it.config)
    assert it.because.endswith("until 07:15")
    it.sections = {"schedules": {"night": {"start": "12:00", "end": "13:00"}}}
    it.arming.use_config(it.config)
    assert it.state() == "disarmed"


# The clock


def test_an_unknown_clock_arms_and_does_not_disarm() -> None:
    it = ArmingBench({"schedules": NIGHT, "alarm": {"initial": "disarmed"}}, synced=False)
    it.until("2026-06-10 22:31")
    assert it.state() == "armed_home"
    it.until("2026-06-11 08:00")
    assert it.state() == "armed_home"
    assert it.arming.document()["waits"] == "not followed yet: the clock is not known to be right"
    assert len(it.audit()) == 2, "said once"
    it.synced = True
    it.pass_time(1)
    assert (it.state(), it.arming.document()["waits"]) == ("disarmed", None)


@pytest.mark.parametrize("jump", [8.0, 24.0 * 365 * 40 + 9, -24.0 * 365 * 56 + 13])
def test_a_clock_that_jumps_does_not_disarm(jump: float) -> None:
    it = ArmingBench({"schedules": NIGHT})
    it.until("2026-06-10 23:00")
    it.clock.wall_ahead += jump * 3600
    it.pass_time(1)
    assert it.state() == "armed_home"
    assert it.arming.document()["waits"] == "not followed yet: the clock has jumped"
    it.clock.wall_ahead -= jump * 3600
    it.pass_time(1)
    it.pass_time(JUMP_HOLD_S)
    assert it.state() == "armed_home", "back again: nothing has happened"
    assert it.arming.document()["waits"] is None
    it.until("2026-06-11 06:31")
    assert it.state() == "disarmed"


def test_a_clock_that_was_put_right_disarms_a_while_later() -> None:
    it = ArmingBench({"schedules": NIGHT})
    it.until("2026-06-10 23:00")
    it.clock.wall_ahead += 9 * 3600
    it.pass_time(1)
    it.pass_time(JUMP_HOLD_S - 2)
    assert it.state() == "armed_home"
    it.pass_time(2)
    assert it.state() == "disarmed"


def test_drift_and_the_change_to_summer_time_are_no_jumps() -> None:
    it = ArmingBench({"schedules": NIGHT}, begin="2026-03-28 12:00")
    it.until("2026-03-29 06:29")
    assert it.state() == "armed_home"
    it.until("2026-03-29 06:31")
    assert it.state() == "disarmed"


def test_the_end_of_a_period_does_not_silence_an_alarm() -> None:
    it = ArmingBench({"schedules": NIGHT, "alarm": {"trigger_s": 120}})
    it.until("2026-06-11 06:29:30")
    it.alarm.intrusion(an_intrusion())
    it.until("2026-06-11 06:30:30")
    assert it.state() == "triggered"
    it.clock.now += 200
    it.alarm.tick()
    it.arming.tick()
    assert it.state() == "disarmed"


# What was kept


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"cause": {"kind": "hand", "colour": "red"}, "wanted": None, "presence": {}, "audit": []},
        {"cause": {}, "wanted": {"state": None}, "presence": {"people": {}, "overall": None}, "audit": []},
        {"cause": {}, "wanted": None, "presence": {"people": {}, "overall": "moon"}, "audit": []},
        {"cause": {}, "wanted": None, "presence": {"people": {}, "overall": None}, "audit": [{"at": 1}]},
        {"cause": {}, "wanted": 7, "presence": {"people": {}, "overall": None}, "audit": None},
    ],
)
def test_what_cannot_be_read_disarms_nothing(saved: Any) -> None:
    it = ArmingBench({"schedules": NIGHT, "presence": PEOPLE})
    it.kept["arming"] = saved
    it.restart()
    it.pass_time(60)
    assert it.state() == "armed_away"


def test_the_audit_list_is_bounded_and_counts_repeats() -> None:
    it = ArmingBench({})
    for number in range(300):
        it.arming.command("DISARM" if number % 2 else "ARM_HOME", by="MQTT")
    for _ in range(50):
        it.arming.ignored("DISARM")
    entries = it.arming.audit.entries()
    assert len(entries) == 200
    assert entries[-1]["times"] == 50
    assert len(json.dumps(it.kept["arming"])) < 64_000


def test_nonsense_by_hand_changes_nothing() -> None:
    it = ArmingBench({})
    with pytest.raises(ValueError, match="unknown alarm command"):
        it.arming.command("OPEN")
    assert (it.state(), it.audit()) == ("armed_away", [])


def test_the_explanation_is_published_when_it_changes_alone() -> None:
    it = ArmingBench({"schedules": NIGHT})
    it.until("2026-06-11 12:00")
    assert [each["state"] for each in it.published] == ["armed_away", "armed_home", "disarmed"]
