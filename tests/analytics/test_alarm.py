from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.analytics.alarm import Alarm
from detector.analytics.alert_codec import dump, load
from detector.config.schema import AlarmSettings
from detector.core.types import Alert, SinceLast
from support.people import IMAGE, frame


def settings(**values: object) -> AlarmSettings:
    return AlarmSettings.model_validate(values)


def alert(number: int = 0, t: float = 0.0) -> Alert:
    return Alert(
        id=f"a{number}",
        event_id=f"e{number}",
        camera="porch",
        zones=("garden",),
        score=0.8,
        box=(1.0, 2.0, 3.0, 4.0),
        frame=frame(t),
        confirmed_mono=t + 0.25,
    )


def state(alarm: Alarm) -> str:
    return alarm.state


@pytest.mark.parametrize("initial", ["armed_away", "armed_home", "disarmed"])
def test_starts_in_the_configured_state(initial: str) -> None:
    alarm = Alarm(settings=settings(initial=initial, exit_delay_s=30))
    assert state(alarm) == initial
    assert alarm.armed_as == (None if initial == "disarmed" else initial)


def test_starts_in_the_given_state() -> None:
    assert Alarm(settings=settings(), state="disarmed").state == "disarmed"
    assert Alarm(settings=settings(initial="disarmed"), state="armed_home").state == "armed_home"


def test_arming_without_exit_delay_is_immediate() -> None:
    alarm = Alarm(settings=settings(initial="disarmed"))
    alarm.command("ARM_HOME", 1.0)
    assert (alarm.state, alarm.armed_as) == ("armed_home", "armed_home")


def test_exit_delay_is_pending_and_lets_people_leave() -> None:
    alarm = Alarm(settings=settings(initial="disarmed", exit_delay_s=30))
    alarm.command("ARM_AWAY", 10.0)
    assert (alarm.state, alarm.armed_as) == ("pending", None)
    assert alarm.intrusion(alert(), 20.0) == ()
    assert alarm.tick(39.9) == ()
    assert state(alarm) == "pending"
    alarm.tick(40.0)
    assert (alarm.state, alarm.armed_as) == ("armed_away", "armed_away")


def test_repeated_arming_does_not_restart_the_exit_delay() -> None:
    alarm = Alarm(settings=settings(initial="disarmed", exit_delay_s=30))
    alarm.command("ARM_AWAY", 0.0)
    alarm.command("ARM_AWAY", 29.0)
    alarm.tick(30.0)
    assert state(alarm) == "armed_away"
    alarm.command("ARM_AWAY", 31.0)
    assert state(alarm) == "armed_away"


def test_arming_otherwise_restarts_the_exit_delay() -> None:
    alarm = Alarm(settings=settings(initial="armed_home", exit_delay_s=30))
    alarm.command("ARM_AWAY", 0.0)
    alarm.command("ARM_HOME", 20.0)
    alarm.tick(49.0)
    assert state(alarm) == "pending"
    alarm.tick(50.0)
    assert state(alarm) == "armed_home"


def test_intrusion_without_entry_delay_triggers_at_once() -> None:
    alarm = Alarm(settings=settings(trigger_s=60))
    assert alarm.intrusion(alert(1), 5.0) == (alert(1),)
    assert (alarm.state, alarm.armed_as) == ("triggered", "armed_away")
    assert alarm.intrusion(alert(2), 50.0) == (alert(2),)
    alarm.tick(109.0)
    assert state(alarm) == "triggered"  # the quiet time counts from the last intrusion
    alarm.tick(110.0)
    assert state(alarm) == "armed_away"


def test_entry_delay_holds_alerts_and_lets_all_go() -> None:
    alarm = Alarm(settings=settings(entry_delay_s=20))
    assert alarm.intrusion(alert(1), 0.0) == ()
    assert alarm.intrusion(alert(2), 10.0) == ()
    assert (alarm.state, alarm.armed_as) == ("pending", "armed_away")
    assert alarm.tick(19.9) == ()
    assert alarm.tick(20.0) == (alert(1), alert(2))
    assert state(alarm) == "triggered"
    assert alarm.tick(21.0) == ()


def test_intrusion_after_the_entry_delay_brings_the_held_ones_along() -> None:
    alarm = Alarm(settings=settings(entry_delay_s=20))
    alarm.intrusion(alert(1), 0.0)
    assert alarm.intrusion(alert(2), 30.0) == (alert(1), alert(2))


def test_disarm_in_the_entry_delay_discards() -> None:
    alarm = Alarm(settings=settings(entry_delay_s=20))
    alarm.intrusion(alert(1), 0.0)
    alarm.command("DISARM", 5.0)
    assert (alarm.state, alarm.armed_as) == ("disarmed", None)
    assert alarm.tick(100.0) == ()
    alarm.command("ARM_AWAY", 101.0)
    assert alarm.tick(200.0) == ()


def test_disarm_wins_over_an_entry_delay_that_nobody_ticked() -> None:
    alarm = Alarm(settings=settings(entry_delay_s=20))
    alarm.intrusion(alert(1), 0.0)
    alarm.command("DISARM", 25.0)
    assert alarm.tick(25.0) == ()


def test_arm_that_finds_the_entry_delay_over_loses_nothing() -> None:
    alarm = Alarm(settings=settings(entry_delay_s=20))
    alarm.intrusion(alert(1), 0.0)
    alarm.command("ARM_HOME", 25.0)
    assert state(alarm) == "triggered"
    assert alarm.tick(25.0) == (alert(1),)


def test_arming_does_not_silence_an_intrusion() -> None:
    alarm = Alarm(settings=settings(entry_delay_s=20, trigger_s=60, exit_delay_s=10))
    alarm.intrusion(alert(1), 0.0)
    alarm.command("ARM_HOME", 5.0)
    assert state(alarm) == "pending"
    assert alarm.tick(20.0) == (alert(1),)
    alarm.command("ARM_AWAY", 21.0)
    assert state(alarm) == "triggered"
    alarm.tick(80.0)
    assert state(alarm) == "armed_away"


def test_disarm_ends_triggered() -> None:
    alarm = Alarm(settings=settings())
    alarm.intrusion(alert(), 0.0)
    alarm.command("DISARM", 1.0)
    assert state(alarm) == "disarmed"
    assert alarm.intrusion(alert(2), 2.0) == ()


def test_unknown_command_is_refused_and_changes_nothing() -> None:
    alarm = Alarm(settings=settings())
    with pytest.raises(ValueError, match="ARM_NIGHT, ARM_VACATION or DISARM"):
        alarm.command("arm_away", 0.0)
    assert state(alarm) == "armed_away"


def test_time_that_goes_back_counts_as_now() -> None:
    alarm = Alarm(settings=settings(initial="disarmed", exit_delay_s=10), t=100.0)
    alarm.command("ARM_AWAY", 90.0)
    alarm.tick(109.0)
    assert state(alarm) == "pending"
    alarm.tick(110.0)
    assert state(alarm) == "armed_away"


def test_reconfigured_delays_count_for_what_is_under_way() -> None:
    alarm = Alarm(settings=settings(entry_delay_s=20))
    alarm.intrusion(alert(1), 0.0)
    alarm.use_settings(settings(entry_delay_s=5))
    assert alarm.tick(6.0) == (alert(1),)


# Over a restart


def restarted(alarm: Alarm, t: float = 1000.0, **values: object) -> Alarm:
    saved = json.loads(json.dumps(alarm.snapshot()))
    return Alarm.restored(settings=settings(**values), saved=saved, t=t)


def test_nothing_saved_is_a_first_start() -> None:
    assert Alarm.restored(settings=settings(initial="armed_home"), saved=None, t=3.0).state == "armed_home"


def test_settled_states_survive() -> None:
    alarm = Alarm(settings=settings(initial="armed_away"))
    alarm.command("DISARM", 1.0)
    assert restarted(alarm).state == "disarmed"
    alarm.command("ARM_HOME", 2.0)
    assert restarted(alarm).state == "armed_home"


def test_exit_delay_starts_over() -> None:
    alarm = Alarm(settings=settings(initial="disarmed", exit_delay_s=30))
    alarm.command("ARM_AWAY", 0.0)
    alarm = restarted(alarm, t=7.0, exit_delay_s=30)
    alarm.tick(36.0)
    assert state(alarm) == "pending"
    alarm.tick(37.0)
    assert state(alarm) == "armed_away"


def test_triggered_survives_and_quiets() -> None:
    alarm = Alarm(settings=settings())
    alarm.intrusion(alert(), 0.0)
    alarm = restarted(alarm, t=5.0, trigger_s=60)
    assert (alarm.state, alarm.tick(6.0)) == ("triggered", ())
    alarm.tick(65.0)
    assert state(alarm) == "armed_away"


def test_entry_delay_over_a_restart_triggers_and_lets_go() -> None:
    alarm = Alarm(settings=settings(entry_delay_s=600))
    alarm.intrusion(alert(1), 50.0)
    alarm.intrusion(alert(2), 51.0)
    alarm = restarted(alarm, entry_delay_s=600)
    assert state(alarm) == "triggered"
    assert restarted(alarm).snapshot() == alarm.snapshot()  # crashed again before the first tick
    assert [a.id for a in alarm.tick(1000.0)] == ["a1", "a2"]
    assert alarm.tick(1001.0) == ()


def test_restored_alert_says_the_same_without_its_picture() -> None:
    before = replace(alert(1, t=50.0), repeat=2, since_last=SinceLast(people=7, events=("e2", "e3")))
    after = load(json.loads(json.dumps(dump(before))), t=7.0)
    assert dump(after) == dump(before)
    assert (after.repeat, after.since_last) == (2, before.since_last)
    assert after.frame.captured_wall == before.frame.captured_wall
    assert after.confirmed_mono - after.frame.captured_mono == pytest.approx(0.25)
    assert after.frame.image.bgr().shape == IMAGE.bgr().shape
    assert after.frame.image.luma().shape == IMAGE.luma().shape
    assert not np.any(after.frame.image.bgr())


def test_an_alert_that_an_older_version_held_is_restored() -> None:
    document = dump(alert(1))
    del document["repeat"], document["since_last"]
    assert load(document, t=0.0).since_last == SinceLast()


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"mode": "on", "phase": "settled", "held": []},
        {"mode": None, "phase": "triggered", "held": []},
        {"mode": "armed_away", "phase": "dancing", "held": []},
        {"mode": "armed_away", "phase": "entering", "held": [{}]},
        {"mode": ["armed_away"], "phase": "settled", "held": []},
        {"mode": "armed_away", "phase": "settled", "held": 3},
    ],
)
def test_damaged_save_counts_as_none(saved: dict[str, object]) -> None:
    alarm = Alarm.restored(settings=settings(initial="armed_home"), saved=saved, t=0.0)
    assert (alarm.state, alarm.tick(1.0)) == ("armed_home", ())


steps = st.lists(
    st.tuples(
        st.sampled_from(["ARM_AWAY", "ARM_HOME", "DISARM", "intrusion", "tick", "restart"]), st.floats(0.0, 40.0)
    ),
    max_size=40,
)


@given(steps, st.sampled_from([0.0, 15.0]), st.sampled_from([0.0, 15.0]))
def test_every_alert_goes_out_once_unless_disarmed(
    story: list[tuple[str, float]], exit_delay: float, entry_delay: float
) -> None:
    """Over any story: nothing twice, nothing while not armed, and all that was taken comes or was disarmed away."""
    rules = {"exit_delay_s": exit_delay, "entry_delay_s": entry_delay, "trigger_s": 30.0}
    alarm, t = Alarm(settings=settings(**rules)), 0.0
    out: list[Alert] = []
    taken: list[str] = []
    for number, (step, pause) in enumerate(story):
        t += pause
        if step == "intrusion":
            out += alarm.tick(t)
            if alarm.armed_as is not None:
                taken.append(f"a{number}")
            out += alarm.intrusion(alert(number), t)
        elif step == "tick":
            out += alarm.tick(t)
        elif step == "restart":
            alarm = restarted(alarm, t=t, **rules)
        else:
            alarm.command(step, t)
            if step == "DISARM":
                assert state(alarm) == "disarmed"
                taken = [a.id for a in out]
        assert (alarm.state == "disarmed") == (alarm.snapshot()["mode"] is None)
    out += alarm.tick(t + 1000.0)
    assert [a.id for a in out] == taken
