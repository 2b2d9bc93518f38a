"""Who is at home, and schedules beside that."""

from __future__ import annotations

from support.arming import NIGHT, PEOPLE, ArmingBench, an_intrusion

# Presence


def test_the_last_one_arms_and_the_first_one_disarms() -> None:
    it = ArmingBench({"presence": PEOPLE, "alarm": {"initial": "disarmed"}})
    it.phone("alice", "away")
    assert it.state() == "disarmed"
    it.phone("bob", "away")
    assert (it.state(), it.because) == ("armed_away", "armed because nobody is at home")
    it.phone("alice", "home")
    assert (it.state(), it.because) == ("disarmed", "disarmed because alice came home")
    it.phone("bob", "home")
    assert it.audit() == [("ARM_AWAY", "presence"), ("DISARM", "presence")]


def test_a_retained_home_does_not_disarm_after_a_restart_or_a_reconnect() -> None:
    it = ArmingBench({"presence": PEOPLE})
    it.phone("alice", "away", retained=True)
    it.phone("bob", "away", retained=True)
    it.phone("alice", "home", retained=True)
    assert it.state() == "armed_away"
    it.restart()
    it.phone("alice", "home", retained=True)
    it.connect()
    it.phone("bob", "home", retained=True)
    assert it.state() == "armed_away"
    assert it.arming.document()["people"]["alice"] == {"where": "home", "confirmed": False}
    assert "bob is said to be at home by a retained message" in it.arming.audit.entries()[-1]["why"]


def test_what_is_sent_again_right_after_a_connect_does_not_disarm() -> None:
    it = ArmingBench({"presence": PEOPLE})
    it.phone("alice", "away")
    it.phone("bob", "away")
    it.arming.connected()
    it.clock.now += 1
    it.phone("alice", "home")
    assert it.state() == "armed_away"
    it.pass_time(60)
    assert it.state() == "armed_away", "nor later"
    it.phone("alice", "away")
    it.phone("alice", "home")
    assert it.state() == "disarmed"


def test_with_unknown_people_one_arrival_that_is_observed_disarms() -> None:
    it = ArmingBench({"presence": PEOPLE})
    it.phone("alice", "away")
    it.phone("alice", "home")
    assert it.state() == "disarmed", "of bob nothing was ever heard"


def test_the_same_word_again_is_no_news_and_a_hand_stands() -> None:
    it = ArmingBench({"presence": PEOPLE, "alarm": {"initial": "disarmed"}})
    for name in ("alice", "bob"):
        it.phone(name, "away")
    it.arming.command("DISARM", by="MQTT")  # the cleaner
    for _ in range(3):
        it.phone("alice", "away")
        it.pass_time(600)
    assert it.state() == "disarmed"


def test_an_arrival_does_not_undo_what_was_armed_by_hand() -> None:
    it = ArmingBench({"presence": PEOPLE})
    it.arming.command("ARM_AWAY", by="MQTT")
    it.phone("alice", "away")
    it.phone("bob", "away")
    it.phone("alice", "home")
    assert it.state() == "armed_away"
    assert "alice came home: not followed" in it.arming.audit.entries()[-1]["why"]


def test_an_arrival_ends_an_alarm_that_presence_armed() -> None:
    it = ArmingBench({"presence": PEOPLE, "alarm": {"entry_delay_s": 30}})
    it.phone("alice", "away")
    it.phone("bob", "away")
    it.alarm.intrusion(an_intrusion())
    assert it.state() == "pending"
    it.phone("alice", "home")
    assert it.state() == "disarmed"


# Both


def test_in_the_night_who_comes_home_is_not_left_unguarded() -> None:
    it = ArmingBench({"schedules": NIGHT, "presence": PEOPLE})
    it.phone("alice", "away")
    it.phone("bob", "away")
    it.until("2026-06-10 23:30")
    assert (it.state(), it.because) == ("armed_away", "armed because nobody is at home")
    it.phone("alice", "home")
    assert (it.state(), it.because) == ("armed_home", "armed because of the schedule night until 06:30")
    it.until("2026-06-11 06:31")
    assert (it.state(), it.because) == ("disarmed", "disarmed because somebody is at home")


def test_in_the_morning_an_empty_place_stays_armed() -> None:
    it = ArmingBench({"schedules": NIGHT, "presence": PEOPLE})
    it.until("2026-06-10 23:00")
    it.phone("alice", "away")
    it.phone("bob", "away")
    it.until("2026-06-11 07:00")
    assert (it.state(), it.because) == ("armed_away", "armed because nobody is at home")


def test_disarmed_by_hand_in_the_night_it_stays_so_though_the_phones_say_nobody() -> None:
    it = ArmingBench({"schedules": NIGHT, "presence": PEOPLE})
    it.phone("alice", "away", retained=True)
    it.phone("bob", "away", retained=True)
    it.phone("alice", "home", retained=True)
    it.until("2026-06-10 23:30")
    it.arming.command("DISARM", by="MQTT")
    it.pass_time(60)
    assert it.state() == "disarmed", "not armed again at once by the schedule"
    assert it.arming.document()["people"]["alice"]["confirmed"], "who disarms by hand says that it is right"
