"""Home Assistant's MQTT discovery: one retained message that describes the whole device.

Pure functions. Source of the format: Home Assistant's documentation of the MQTT integration, "Device discovery payload"
and the pages of each platform. `homeassistant_camera` has what each camera adds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from detector.config.schema import Device
from detector.core.types import Message

from .homeassistant_camera import CAMERA_PARTS, camera_components
from .homeassistant_entity import ATTRIBUTES, DIAGNOSTIC, Component, Entities, alert_event, alive
from .payloads import encode
from .topics import Topics

Keypad = Literal["digits", "text"]
"""How the alarm's code is typed."""
_MODES = ("arm_away", "arm_home", "arm_night", "arm_vacation")
# By `tojson`: a code may hold quotes.
_WITH_CODE = "{{ {'action': action, 'code': code} | tojson }}"
_ANY_PROBLEM = "{{ 'ON' if value_json.problems | length > 0 else 'OFF' }}"
_PROBLEMS = "{{ {'problems': value_json.problems} | tojson }}"
_THROTTLED_WHY = "{{ {'reason': value_json.system.throttled_reason} | tojson }}"
_THROTTLED = "{{ {true: 'ON', false: 'OFF'}.get(value_json.system.throttled, 'None') }}"
_DETECTIONS = "{{ value_json.cameras.values() | map(attribute='detect_fps') | select('number') | sum | round(1) }}"
_UPDATE = (
    "{{ {'installed_version': value_json.version, 'latest_version': value_json.version_on_disk"
    " or value_json.version} | tojson }}"
)


def discovery_message(
    *,
    device: Device,
    cameras: Iterable[str],
    topics: Topics,
    discovery_prefix: str,
    version: str,
    configuration_url: str | None = None,
    removed: Iterable[str] = (),
    keypad: Keypad | None = None,
) -> Message:
    """The device as it is now. `removed` cameras are named once more, so that their entities go.

    `keypad`: how the alarm's code is typed, None where it has none.
    """
    components = _device_components(device, topics, keypad)
    for camera in cameras:
        components |= camera_components(device, camera, topics)
    for camera in set(removed) - set(cameras):
        # A component that is left with its platform alone is removed; one left out would linger.
        components |= {f"{camera}_{part}": {"platform": platform} for part, platform in CAMERA_PARTS.items()}
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


def _device_components(device: Device, topics: Topics, keypad: Keypad | None) -> dict[str, Component]:
    entities = Entities(device, available=alive(topics))
    entities.add("alarm", "alarm_control_panel", "Alarm", **_alarm(topics, keypad), icon="mdi:shield-home")
    entities.add("intrusion", "event", "Intrusion", **alert_event(topics), icon="mdi:account-alert")
    problem = {"value_template": _ANY_PROBLEM, "json_attributes_topic": topics.stats}
    problem |= {"json_attributes_template": _PROBLEMS, "device_class": "problem", **DIAGNOSTIC}
    entities.add("problem", "binary_sensor", "Problem", state_topic=topics.stats, **problem)
    _measurements(entities, topics)
    restart = {"command_topic": topics.restart_set, "qos": 1}
    entities.add(
        "restart",
        "button",
        "Restart",
        **restart,
        payload_press="RESTART",
        device_class="restart",
        entity_category="config",
    )
    update = {"state_topic": topics.stats, "value_template": _UPDATE, "payload_install": "RESTART", "title": "detector"}
    entities.add("update", "update", "Update", **restart, **update, entity_category="config")
    return entities.components


def _alarm(topics: Topics, keypad: Keypad | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "state_topic": topics.alarm_state,
        "command_topic": topics.alarm_set,
        "json_attributes_topic": topics.alarm_attributes,
        "json_attributes_template": ATTRIBUTES,
        **{f"payload_{mode}": mode.upper() for mode in _MODES},
        "payload_disarm": "DISARM",
        "supported_features": list(_MODES),
        "code_arm_required": False,
        "qos": 1,
    }
    if keypad is not None:
        # The service compares it: neither Home Assistant nor this message holds it.
        code = "REMOTE_CODE" if keypad == "digits" else "REMOTE_CODE_TEXT"
        options |= {"code": code, "code_disarm_required": True, "command_template": _WITH_CODE}
    return options


def _measurements(entities: Entities, topics: Topics) -> None:
    def add(key: str, name: str, path: str, **options: Any) -> None:
        template = path if path.startswith("{") else f"{{{{ value_json.{path} }}}}"
        entities.add(key, "sensor", name, state_topic=topics.stats, value_template=template, **options, **DIAGNOSTIC)

    number = {"state_class": "measurement"}
    milliseconds = {"unit_of_measurement": "ms", "device_class": "duration", "suggested_display_precision": 1}
    add("pending_alerts", "Alerts waiting", "outbox.pending_alerts", **number, icon="mdi:tray-full")
    add("inference", "Inference time", "model.infer_ms.p50", **number, **milliseconds, icon="mdi:timer-outline")
    add("fps", "Detections", _DETECTIONS, **number, unit_of_measurement="fps", icon="mdi:speedometer")
    add(
        "temperature",
        "Temperature",
        "system.temperature_c",
        **number,
        device_class="temperature",
        unit_of_measurement="°C",
    )
    add("power", "Power", "system.power_w", **number, device_class="power", unit_of_measurement="W")
    add("model", "Model", "model.name", icon="mdi:brain")
    add("precision", "Precision", "model.precision", icon="mdi:decimal")
    throttled = {"value_template": _THROTTLED, "device_class": "problem", "icon": "mdi:speedometer-slow", **DIAGNOSTIC}
    throttled |= {"json_attributes_topic": topics.stats, "json_attributes_template": _THROTTLED_WHY}
    entities.add("throttled", "binary_sensor", "Throttled", state_topic=topics.stats, **throttled)
