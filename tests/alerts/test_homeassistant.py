"""The discovery message, by the rules of Home Assistant's MQTT integration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from detector.alerts.homeassistant import discovery_message, discovery_topic
from detector.alerts.payloads import Topics
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
}


def message(*cameras: str, **options: Any) -> Message:
    return discovery_message(
        device=DEVICE, cameras=cameras, topics=TOPICS, discovery_prefix="homeassistant", version="1.2.3", **options
    )


def document(*cameras: str, **options: Any) -> dict[str, Any]:
    found = json.loads(message(*cameras, **options).payload)
    assert isinstance(found, dict)
    return found


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
    components = document("porch", "back-door")["components"]
    for component in components.values():
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
    assert alarm["supported_features"] == ["arm_away", "arm_home"]
    payloads = [alarm[f"payload_{word}"] for word in ("arm_away", "arm_home", "disarm")]
    assert payloads == ["ARM_AWAY", "ARM_HOME", "DISARM"]


def test_the_intrusion_event_carries_its_type() -> None:
    event = document("porch")["components"]["intrusion"]
    assert event["event_types"] == ["intrusion"]
    assert event["state_topic"] == "p/alerts"
    jinja2 = pytest.importorskip("jinja2")
    environment = jinja2.Environment()
    environment.filters["tojson"] = json.dumps
    alert = {"id": "a", "event_id": "e", "camera": "porch", "zones": ["garden"], "score": 0.9, "captured_at": "t"}
    template = environment.from_string(event["value_template"])
    for told in ({"snapshot_url": "http://h/x"}, {"snapshot_url": None}, {}):
        rendered = template.render(value_json=alert | {"replayed": False} | told)
        expected = {"event_type": "intrusion", **alert, "replayed": False, "snapshot_url": None} | told
        assert json.loads(rendered) == expected


@pytest.mark.parametrize(("people", "state"), [("0", "OFF"), ("1", "ON"), ("12", "ON"), ("", "OFF")])
def test_occupancy_is_anybody_there(people: str, state: str) -> None:
    jinja2 = pytest.importorskip("jinja2")
    environment = jinja2.Environment()
    template = document("porch")["components"]["porch_occupancy"]["value_template"]
    assert environment.from_string(template).render(value=people) == state


def test_a_removed_camera_is_named_with_its_platforms_alone() -> None:
    components = document("porch", removed=["attic", "porch"])["components"]
    attic = {key: component for key, component in components.items() if key.startswith("attic_")}
    assert attic.keys() == {f"attic_{key.removeprefix('porch_')}" for key in components if key.startswith("porch_")}
    assert all(component.keys() == {"platform"} for component in attic.values())
    assert "name" in components["porch_status"]  # it is there again, whatever was removed before


def test_the_message_is_where_the_device_is_found() -> None:
    assert message("porch").topic == discovery_topic(DEVICE, "homeassistant")
