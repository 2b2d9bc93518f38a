"""Home Assistant's MQTT discovery: one retained message that describes the whole device.

Pure functions. Source of the format: Home Assistant's documentation of the MQTT integration,
"Device discovery payload".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from detector.config.schema import Device
from detector.core.types import Message

from .payloads import Topics, encode

Component = dict[str, Any]
_PEOPLE_ONLY = "{{ 'ON' if value | int(0) > 0 else 'OFF' }}"
_REACHABLE = "{{ 'OFF' if value == 'offline' else 'ON' }}"
# The event platform wants `event_type` in its payload; the rest become the entity's attributes.
_INTRUSION = (
    "{{ {'event_type': 'intrusion', 'id': value_json.id, 'event_id': value_json.event_id,"
    " 'camera': value_json.camera, 'zones': value_json.zones, 'score': value_json.score,"
    " 'captured_at': value_json.captured_at, 'replayed': value_json.replayed,"
    " 'snapshot_url': value_json.snapshot_url | default(none)} | tojson }}"
)
_CAMERA_PARTS = {
    "occupancy": "binary_sensor",
    "count": "sensor",
    "motion": "binary_sensor",
    "snapshot": "image",
    "detect": "switch",
    "status": "binary_sensor",
}


def discovery_message(
    *,
    device: Device,
    cameras: Iterable[str],
    topics: Topics,
    discovery_prefix: str,
    version: str,
    configuration_url: str | None = None,
    removed: Iterable[str] = (),
) -> Message:
    """The device as it is now. `removed` cameras are named once more, so that their entities go."""
    components = _device_components(device, topics)
    for camera in cameras:
        components |= _camera_components(device, camera, topics)
    for camera in set(removed) - set(cameras):
        # A component that is left with its platform alone is removed; one left out would linger.
        components |= {f"{camera}_{part}": {"platform": platform} for part, platform in _CAMERA_PARTS.items()}
    about = {
        "identifiers": [f"detector_{device.id}"],
        "name": device.title,
        "manufacturer": "detector",
        "model": "Person detector",
        "sw_version": version,
    }
    if configuration_url is not None:
        about["configuration_url"] = configuration_url
    document = {"device": about, "origin": {"name": "detector", "sw_version": version}, "components": components}
    return Message(topic=discovery_topic(device, discovery_prefix), payload=encode(document), qos=1, retain=True)


def discovery_topic(device: Device, discovery_prefix: str) -> str:
    """Where the device is described; an empty retained message there takes it out of Home Assistant."""
    return f"{discovery_prefix}/device/{device.id}/config"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "_", text.lower())


def _title(camera: str) -> str:
    return camera.replace("-", " ").replace("_", " ").strip().capitalize() or camera


def _component(
    device: Device, key: str, platform: str, name: str, available: list[Component], options: Mapping[str, Any]
) -> dict[str, Component]:
    return {
        key: {
            "platform": platform,
            "name": name,
            "unique_id": f"detector_{device.id}_{key}",
            "default_entity_id": f"{platform}.{_slug(f'{device.id}_{key}')}",
            "availability": available,
            "availability_mode": "all",
            **options,
        }
    }


def _alive(topics: Topics) -> list[Component]:
    return [{"topic": topics.available, "payload_available": "online", "payload_not_available": "offline"}]


def _seeing(topics: Topics, camera: str) -> list[Component]:
    """What a camera shows is only known while it is not offline."""
    watching = {
        "topic": topics.camera_status(camera),
        "value_template": _REACHABLE,
        "payload_available": "ON",
        "payload_not_available": "OFF",
    }
    return [*_alive(topics), watching]


def _camera_components(device: Device, camera: str, topics: Topics) -> dict[str, Component]:
    title, alive, seeing = _title(camera), _alive(topics), _seeing(topics, camera)
    options: dict[str, tuple[str, list[Component], dict[str, Any]]] = {
        "occupancy": (
            "occupancy",
            seeing,
            {"state_topic": topics.person(camera), "value_template": _PEOPLE_ONLY, "device_class": "occupancy"},
        ),
        "count": (
            "people",
            seeing,
            {"state_topic": topics.person(camera), "state_class": "measurement", "icon": "mdi:account-multiple"},
        ),
        "motion": ("motion", seeing, {"state_topic": topics.motion(camera), "device_class": "motion"}),
        "snapshot": ("last person", seeing, {"image_topic": topics.snapshot(camera), "content_type": "image/jpeg"}),
        "detect": (
            "detection",
            alive,
            {
                "state_topic": topics.detect_state(camera),
                "command_topic": topics.detect_set(camera),
                "qos": 1,
                "icon": "mdi:account-search",
            },
        ),
        "status": (
            "camera",
            alive,
            {
                "state_topic": topics.camera_status(camera),
                "value_template": _REACHABLE,
                "device_class": "connectivity",
                "entity_category": "diagnostic",
            },
        ),
    }
    parts: dict[str, Component] = {}
    for part, (name, available, extra) in options.items():
        parts |= _component(device, f"{camera}_{part}", _CAMERA_PARTS[part], f"{title} {name}", available, extra)
    return parts


def _device_components(device: Device, topics: Topics) -> dict[str, Component]:
    alive = _alive(topics)
    alarm = {
        "state_topic": topics.alarm_state,
        "command_topic": topics.alarm_set,
        "json_attributes_topic": topics.alarm_attributes,
        "payload_arm_away": "ARM_AWAY",
        "payload_arm_home": "ARM_HOME",
        "payload_disarm": "DISARM",
        "supported_features": ["arm_away", "arm_home"],
        "code_arm_required": False,
        "qos": 1,
    }
    intrusion = {"state_topic": topics.alerts, "value_template": _INTRUSION, "event_types": ["intrusion"], "qos": 1}
    pending = {
        "state_topic": topics.stats,
        "value_template": "{{ value_json.outbox.pending_alerts }}",
        "state_class": "measurement",
        "entity_category": "diagnostic",
        "icon": "mdi:tray-full",
    }
    temperature = {
        "state_topic": topics.stats,
        "value_template": "{{ value_json.system.temperature_c }}",
        "device_class": "temperature",
        "unit_of_measurement": "°C",
        "state_class": "measurement",
        "entity_category": "diagnostic",
    }
    return {
        **_component(device, "alarm", "alarm_control_panel", "Alarm", alive, alarm),
        **_component(device, "intrusion", "event", "Intrusion", alive, intrusion),
        **_component(device, "pending_alerts", "sensor", "Alerts waiting", alive, pending),
        **_component(device, "temperature", "sensor", "Temperature", alive, temperature),
    }
