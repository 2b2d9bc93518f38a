"""The detector as a process in a real Home Assistant, a real Mosquitto between them (make ha-test)."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from support.ha_site import ALARM, CODE, Site
from support.home_assistant import Phone, wait_for

pytestmark = [pytest.mark.ha, pytest.mark.timeout(1800)]
BLUEPRINT = (
    Path(__file__).resolve().parents[2] / "docs" / "blueprints" / "automation" / "detector" / "person_alert.yaml"
)


def test_every_entity_is_made_and_none_refused(site: Site) -> None:
    wanted = [key for key, one in site.components().items() if one["platform"] != "device_automation"]
    assert len(wanted) > 40

    def missing() -> list[str]:
        states = site.home.states()
        return [key for key in wanted if not set(site.ids(key)) & states.keys()]

    wait_for(lambda: not missing(), "every entity")
    assert site.home.state(site.id("model")) is not None
    about = json.loads(site.home.render("{{ device_entities(device_id('" + ALARM + "')) | count | tojson }}"))
    assert about >= len(wanted)
    assert site.home.faults() == []


def test_the_states_follow(site: Site) -> None:
    home = site.home
    home.until(site.id("porch_occupancy"), "on")
    home.until(site.id("porch_occupancy"), "off")
    home.until(site.id("porch_state"), "online")
    home.until(site.id("porch_alert"), lambda state: state not in (None, "unknown"))
    alert = home.attributes(site.id("porch_alert"))
    assert (alert["event_type"], alert["camera"]) == ("intrusion", "porch")
    home.until(site.id("porch_visit"), lambda state: state not in (None, "unknown"))
    home.until(site.id("porch_snapshot"), lambda state: state not in (None, "unknown"))
    home.until(site.id("porch_last_alert"), lambda state: str(state).startswith("20"))
    for figure in ("porch_latency", "inference", "fps", "porch_fps"):
        home.until(site.id(figure), lambda state: float(state or "nan") > 0)
    wait_for(
        lambda: home.state(site.id("problem")) == ("on" if site.detector.status()["problems"] else "off"), "problem"
    )
    assert home.state(site.id("update")) == "off"
    assert home.state(site.id("precision")) == site.detector.status()["model"]["precision"]
    assert home.faults() == []


def test_the_alarm_is_armed_each_way_and_disarmed_by_its_code_alone(site: Site) -> None:
    home = site.home
    home.call("alarm_control_panel.alarm_disarm", entity_id=ALARM, code="1111")
    home.call("alarm_control_panel.alarm_disarm", entity_id=ALARM, code=CODE)
    home.until(ALARM, "disarmed")
    assert site.detector.status()["broker"]["commands_refused"] == 1
    home.call("switch.turn_off", entity_id=[site.id("porch_detect"), site.id("back-door_detect")])
    for mode in ("night", "vacation", "home", "away"):
        home.call(f"alarm_control_panel.alarm_arm_{mode}", entity_id=ALARM)
        home.until(ALARM, f"armed_{mode}")
        home.call("alarm_control_panel.alarm_disarm", entity_id=ALARM, code=CODE)
        home.until(ALARM, "disarmed")
    assert CODE not in site.detector.log()
    said = [one for one in site.heard.heard if CODE.encode() in one.payload and one.topic.endswith("/config")]
    assert said == [], "Home Assistant is not told the code"
    home.call("alarm_control_panel.alarm_arm_away", entity_id=ALARM)
    home.until(site.id("porch_detect"), "off")
    home.call("switch.turn_on", entity_id=[site.id("porch_detect"), site.id("back-door_detect")])
    home.until(site.id("porch_detect"), "on")
    assert home.faults() == []


def test_a_snoozed_camera_is_silent_until_it_ends(site: Site) -> None:
    home, heard = site.home, site.heard
    home.call("number.set_value", entity_id=site.id("back-door_snooze"), value=1)
    home.until(site.id("back-door_snoozed_until"), lambda state: str(state).startswith("20"))
    home.until(site.id("back-door_snooze"), lambda state: float(state or "nan") == 1)

    def alerts_of(camera: str) -> int:
        return sum(json.loads(one.payload)["camera"] == camera for one in heard.heard if one.topic == "detector/alerts")

    before, others = alerts_of("back-door"), alerts_of("porch")
    wait_for(lambda: alerts_of("porch") > others + 1, "alerts of the other camera")
    assert alerts_of("back-door") == before
    home.call("number.set_value", entity_id=site.id("back-door_snooze"), value=0)
    home.until(site.id("back-door_snoozed_until"), "unknown")
    wait_for(lambda: alerts_of("back-door") > before, "alerts after the snooze")
    assert home.faults() == []


def test_device_triggers_begin_automations(site: Site) -> None:
    home = site.home
    device = home.render(f"{{{{ device_id('{ALARM}') }}}}")
    trigger = {"trigger": "device", "domain": "mqtt", "device_id": device, "subtype": "Porch"}
    kinds = ("intrusion", "person appeared")
    for number, kind in enumerate(kinds):
        automation = {
            "alias": f"on {number}",
            "triggers": [{**trigger, "type": kind}],
            "actions": [{"action": "mqtt.publish", "data": {"topic": f"seen/{number}", "payload": kind}}],
        }
        home.post(f"/api/config/automation/config/on{number}", automation)
    for number, kind in enumerate(kinds):
        wait_for(partial(site.heard.last, f"seen/{number}"), kind)
    assert home.faults() == []


def test_the_blueprint_sends_a_notification_that_can_be_answered(site: Site) -> None:
    home, heard = site.home, site.heard
    folder = home.folder / "blueprints" / "automation" / "detector"
    folder.mkdir(parents=True)
    shutil.copyfile(BLUEPRINT, folder / BLUEPRINT.name)
    phone = Phone(home)
    inputs = {"alert": site.id("porch_alert"), "phone": phone.device_id, "picture": site.id("porch_snapshot")}
    blueprint = {"path": f"detector/{BLUEPRINT.name}", "input": {**inputs, "snooze_minutes": 7}}
    wait_for(lambda: "notify.mobile_app_pocket" in phone.services(), "the phone's own service")
    home.post("/api/config/automation/config/alert", {"alias": "alert", "use_blueprint": blueprint})
    told = wait_for(lambda: phone.received and phone.received[0], "a notification")
    assert (told["title"], told["message"]) == ("Person: porch", "Somebody is there")
    data = told["data"]
    snooze, suppress, *more = data["actions"]
    assert (snooze["title"], suppress["title"]) == ("Snooze 7 min", "Nobody is there")
    assert more == [], "there is no address at which a phone would find a clip"
    assert data["image"].startswith(f"/api/image_proxy/{site.id('porch_snapshot')}?token=")
    phone.answer(suppress["action"])
    event_id = wait_for(lambda: heard.last("detector/porch/suppress/set"), "the answer").decode()
    assert data["tag"] == f"detector-{event_id}"
    phone.answer("SOMETHING_ELSE")
    phone.answer(f"DETECTOR|{site.id('porch_alert')}|detector/alarm/set|DISARM")
    phone.answer(snooze["action"])
    home.until(site.id("porch_snooze"), lambda state: float(state or "nan") == 7)
    assert heard.last("detector/porch/snooze/set") == b"420"
    assert heard.last("detector/alarm/set") != b"DISARM"
    home.call("number.set_value", entity_id=site.id("porch_snooze"), value=0)
    home.call("automation.turn_off", entity_id="automation.alert")
    phone.close()
    assert home.faults() == []


def test_the_restart_button_restarts(site: Site) -> None:
    home, before = site.home, site.detector.status()["uptime_s"]
    home.call("button.press", entity_id=site.id("restart"))
    home.until(site.id("porch_detect"), "unavailable")
    home.until(site.id("porch_detect"), "on")
    site.detector.wait_ready()
    assert site.detector.status()["uptime_s"] < before
    assert home.faults() == []


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_home_assistant_restarts(site: Site, end: str) -> None:
    home = site.home
    getattr(home, end)()
    home.start()
    home.until(site.id("porch_status"), "on")
    home.until(site.id("porch_motion"), lambda state: state in ("on", "off"))
    home.until(site.id("inference"), lambda state: state not in (None, "unknown", "unavailable"))
    home.until(site.id("porch_last_alert"), lambda state: str(state).startswith("20"))
    assert home.faults() == []


def test_the_detector_dies_and_returns(site: Site) -> None:
    home = site.home
    site.detector.kill()
    home.until(ALARM, "unavailable")
    site.start_detector("porch", "back-door")
    home.until(ALARM, lambda state: state not in (None, "unavailable", "unknown"))
    assert home.faults() == []


def test_a_renamed_and_a_removed_camera_leave_nothing_behind(site: Site) -> None:
    home = site.home
    old = {entity for entity in home.states() if "_porch_" in entity or "_back_door_" in entity}
    assert len(old) > 30
    site.detector.stop()
    site.start_detector("drive")  # porch by another name, and no back door
    wait_for(lambda: "drive_status" in site.components(), "the new description")
    home.until(site.id("drive_status"), "on")
    wait_for(lambda: not old & home.states().keys(), "the old entities' end")
    triggers = {key for key, one in site.components().items() if one == {"platform": "device_automation"}}
    assert len(triggers) == 8
    assert [line for line in home.faults() if "automation" not in line] == []
