"""The discovery message, by the rules of Home Assistant's MQTT integration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from detector.alerts.homeassistant import discovery_message, discovery_topic
from detector.alerts.topics import Topics
from detector.config.schema import Device
from detector.core.types import Message

DEVICE = Device(id="front-yard", name="Front yard")
TOPICS = Topics("p")
# The integration's schemas: what each platform cannot do without, and what it knows besides.
NEEDED = {
    "alarm_control_panel": {"state_topic", "command_topic"},
    "binary_sensor": {"state_topic"},
    "event": {"state_topic", "event_types"},
    "image": {"image_topic"},
    "sensor": {"state_topic"},
    "switch": {"command_topic"},
    "button": {"command_topic"},
    "number": {"command_topic"},
    "update": {"state_topic"},
}


def message(*cameras: str, **options: Any) -> Message:
    return discovery_message(
        device=DEVICE, cameras=cameras, topics=TOPICS, discovery_prefix="homeassistant", version="1.2.3", **options
    )


def document(*cameras: str, **options: Any) -> dict[str, Any]:
    found = json.loads(message(*cameras, **options).payload)
    assert isinstance(found, dict)
    return found


def rendered(template: str, **values: Any) -> str:
    """As Home Assistant renders it, with the filters that are its own."""
    jinja2 = pytest.importorskip("jinja2")
    environment = jinja2.Environment()
    environment.filters["tojson"] = json.dumps
    return str(environment.from_string(template).render(**values))


def test_one_retained_message_for_the_device() -> None:
    sent = message("porch", configuration_url="http://10.0.0.2:8080/")
    assert (sent.topic, sent.qos, sent.retain) == ("homeassistant/device/front-yard/config", 1, True)
    found = json.loads(sent.payload)
    assert found["device"] == {
        "identifiers": ["detector_front-yard"],
        "name": "Front yard",
        "manufacturer": "detector",
        "model": "Person detector",
        "sw_version": "1.2.3",
        "configuration_url": "http://10.0.0.2:8080/",
    }
    assert found["origin"] == {"name": "detector", "sw_version": "1.2.3"}


def test_every_component_has_what_its_platform_needs() -> None:
    found = document("porch", "back-door")["components"]
    components = {key: one for key, one in found.items() if one["platform"] != "device_automation"}
    for component in components.values():
        assert component["platform"] == "update" or component.get("icon") or component.get("device_class")
        assert component.keys() >= {"name", "unique_id"} | NEEDED[component["platform"]]
        platform, _, name = component["default_entity_id"].partition(".")
        assert platform == component["platform"]
        assert name.replace("_", "").isalnum()
        assert name == name.lower()
        assert {"topic": "p/available", "payload_available": "online", "payload_not_available": "offline"} in component[
            "availability"
        ]
    assert len({c["unique_id"] for c in components.values()}) == len(components)
    assert len({c["default_entity_id"] for c in components.values()}) == len(components)
    assert len({c["name"] for c in components.values()}) == len(components)


@pytest.mark.parametrize(
    ("key", "platform", "field", "topic"),
    [
        ("occupancy", "binary_sensor", "state_topic", "p/porch/person"),
        ("count", "sensor", "state_topic", "p/porch/person"),
        ("motion", "binary_sensor", "state_topic", "p/porch/motion"),
        ("snapshot", "image", "image_topic", "p/porch/person/snapshot"),
        ("detect", "switch", "command_topic", "p/porch/detect/set"),
        ("detect", "switch", "state_topic", "p/porch/detect/state"),
        ("status", "binary_sensor", "state_topic", "p/porch/status"),
    ],
)
def test_a_camera_s_entities_listen_where_we_speak(key: str, platform: str, field: str, topic: str) -> None:
    component = document("porch")["components"][f"porch_{key}"]
    assert (component["platform"], component[field]) == (platform, topic)


def test_the_alarm_panel_needs_no_code() -> None:
    alarm = document("porch")["components"]["alarm"]
    assert alarm["code_arm_required"] is False
    assert alarm["supported_features"] == ["arm_away", "arm_home", "arm_night", "arm_vacation"]
    payloads = [alarm[f"payload_{word}"] for word in (*alarm["supported_features"], "disarm")]
    assert payloads == ["ARM_AWAY", "ARM_HOME", "ARM_NIGHT", "ARM_VACATION", "DISARM"]
    assert alarm.keys().isdisjoint({"code", "command_template"})


@pytest.mark.parametrize(("keypad", "code"), [("digits", "REMOTE_CODE"), ("text", "REMOTE_CODE_TEXT")])
def test_with_a_code_the_panel_asks_for_it_and_sends_it(keypad: str, code: str) -> None:
    alarm = document("porch", keypad=keypad)["components"]["alarm"]
    assert (alarm["code"], alarm["code_disarm_required"], alarm["code_arm_required"]) == (code, True, False)
    sent = rendered(alarm["command_template"], action="DISARM", code='1"2')
    assert json.loads(sent) == {"action": "DISARM", "code": '1"2'}


ALERT: dict[str, Any] = {
    "id": "a", "event_id": "e", "camera": "porch", "zones": ["garden"], "score": 0.9, "captured_at": "t",
    "replayed": False, "repeat": 0, "latency_ms": {"total": 61.5},
}  # fmt: skip


@pytest.mark.parametrize("key", ["intrusion", "porch_alert"])
@pytest.mark.parametrize(
    "extra", [{"snapshot_url": "http://h/x"}, {"snapshot_url": None}, {}, {"clip_url": "http://h/y"}]
)
def test_an_alert_event_carries_its_type(key: str, extra: dict[str, Any]) -> None:
    event = document("porch")["components"][key]
    assert event["event_types"] == ["intrusion", "reminder"]
    assert event["state_topic"] == "p/alerts"
    alert = {key: value for key, value in ALERT.items() if key not in ("repeat", "latency_ms")}
    topics = {"snooze_topic": "p/porch/snooze/set", "suppress_topic": "p/porch/suppress/set"}
    expected = {
        "event_type": "intrusion",
        **alert,
        **topics,
        "latency_ms": 61.5,
        "snapshot_url": None,
        "clip_url": None,
    }
    assert json.loads(rendered(event["value_template"], value_json=ALERT | extra)) == expected | extra
    again = json.loads(rendered(event["value_template"], value_json=ALERT | {"repeat": 2}))
    assert again["event_type"] == "reminder"


def test_a_camera_s_events_are_its_own() -> None:
    components = document("porch", "door")["components"]
    visit = {"type": "new", "after": {"camera": "porch", "id": "e", "top_score": 0.5, "entered_zones": []}}
    for part, told in (
        ("alert", ALERT),
        ("visit", visit),
        ("tamper", {"camera": "porch", "reason": "black", "captured_at": 0}),
    ):
        assert json.loads(rendered(components[f"porch_{part}"]["value_template"], value_json=told))["event_type"]
        assert rendered(components[f"door_{part}"]["value_template"], value_json=told) == ""
    assert rendered(components["porch_visit"]["value_template"], value_json=visit | {"type": "update"}) == ""


def test_the_state_document_is_read_where_it_knows_little() -> None:
    unknown: dict[str, Any] = {
        "version": "1.2.3", "version_on_disk": None, "problems": [], "outbox": {"pending_alerts": 0},
        "cameras": {"porch": {"fps": None, "detect_fps": None}, "door": {"fps": 9.5, "detect_fps": 4.26}},
        "model": {"name": "m", "precision": None, "infer_ms": {"p50": None}},
        "system": {"temperature_c": None, "power_w": None, "throttled": None},
    }  # fmt: skip
    components = document("porch", "door", "attic")["components"]
    read = {
        key: rendered(one["value_template"], value_json=unknown)
        for key, one in components.items()
        if one.get("state_topic") == "p/stats"
    }
    assert (read["fps"], read["problem"], read["throttled"], read["power"]) == ("4.3", "OFF", "None", "None")
    assert (read["porch_fps"], read["door_fps"], read["attic_fps"]) == ("None", "9.5", "None")
    assert json.loads(read["update"]) == {"installed_version": "1.2.3", "latest_version": "1.2.3"}
    throttled = components["throttled"]["value_template"]
    for value, state in ((True, "ON"), (False, "OFF")):
        assert rendered(throttled, value_json=unknown | {"system": {"throttled": value}}) == state


@pytest.mark.parametrize(("minutes", "seconds"), [("30", "1800"), ("0", "0"), ("0.5", "30"), ("1440", "86400")])
def test_a_snooze_is_set_in_minutes(minutes: str, seconds: str) -> None:
    snooze = document("porch")["components"]["porch_snooze"]
    assert rendered(snooze["command_template"], value=minutes) == seconds


def test_triggers_know_their_camera() -> None:
    components = document("porch", "door")["components"]
    heard = {"on_intrusion": ALERT, "on_reminder": ALERT | {"repeat": 1}, "on_tamper": {"camera": "porch"}}
    heard["on_person"] = {"type": "new", "after": {"camera": "porch"}}
    for key, payload in heard.items():
        trigger = components[f"porch_{key}"]
        assert rendered(trigger["value_template"], value_json=payload) == trigger["payload"]
        assert trigger["payload"] != components[f"door_{key}"]["payload"]
        assert (trigger["automation_type"], trigger["subtype"]) == ("trigger", "Porch")


@pytest.mark.parametrize(("people", "state"), [("0", "OFF"), ("1", "ON"), ("12", "ON"), ("", "OFF")])
def test_occupancy_is_anybody_there(people: str, state: str) -> None:
    template = document("porch")["components"]["porch_occupancy"]["value_template"]
    assert rendered(template, value=people) == state


def test_a_removed_camera_is_named_with_its_platforms_alone() -> None:
    components = document("porch", removed=["attic", "porch"])["components"]
    attic = {key: component for key, component in components.items() if key.startswith("attic_")}
    assert attic.keys() == {f"attic_{key.removeprefix('porch_')}" for key in components if key.startswith("porch_")}
    assert all(component.keys() == {"platform"} for component in attic.values())
    assert "name" in components["porch_status"]  # it is there again, whatever was removed before


def test_the_message_is_where_the_device_is_found() -> None:
    assert message("porch").topic == discovery_topic(DEVICE, "homeassistant")


def test_a_cleared_topic_leaves_no_error_in_home_assistants_log() -> None:
    """An empty payload is no JSON: Home Assistant does not define `value_json` then."""
    for name, component in document("porch")["components"].items():
        for key in ("value_template", "json_attributes_template"):
            if "value_json" in component.get(key, "") and component["platform"] != "device_automation":
                cleared = {"event": "", "update": ""}.get(component["platform"], "None")
                assert rendered(component[key], value="") == ("{}" if key.startswith("json") else cleared), name
