"""What a camera adds to Home Assistant's discovery message."""

from __future__ import annotations

from typing import Any

from detector.analytics.tamper import EXPLAINED
from detector.config.schema import Device

from .homeassistant_entity import ATTRIBUTES, DIAGNOSTIC, Component, Entities, alert_event, alive, only
from .topics import Topics

CAMERA_PARTS = {
    "occupancy": "binary_sensor",
    "count": "sensor",
    "motion": "binary_sensor",
    "snapshot": "image",
    "alert": "event",
    "visit": "event",
    "tamper": "event",
    "detect": "switch",
    "suppress": "button",
    "snooze": "number",
    "snoozed_until": "sensor",
    "last_alert": "sensor",
    "latency": "sensor",
    "status": "binary_sensor",
    "state": "sensor",
    "fps": "sensor",
    "on_intrusion": "device_automation",
    "on_reminder": "device_automation",
    "on_person": "device_automation",
    "on_tamper": "device_automation",
}
"""Each part's platform: what names it when it is removed."""
_PEOPLE_ONLY = "{{ 'ON' if value | int(0) > 0 else 'OFF' }}"
_REACHABLE = "{{ 'OFF' if value == 'offline' else 'ON' }}"
_STATE = "{{ value or 'None' }}"  # cleared just before the entity goes
_MAX_SNOOZE_MIN = 1440
_VISIT = (
    "{% if value_json.after.camera == 'CAMERA' and value_json.type in ('new', 'end') %}"
    "{{ {'event_type': 'appeared' if value_json.type == 'new' else 'left', 'event_id': value_json.after.id,"
    " 'score': value_json.after.top_score, 'zones': value_json.after.entered_zones} | tojson }}{% endif %}"
)


def camera_components(device: Device, camera: str, topics: Topics) -> dict[str, Component]:
    """The camera's entities and device triggers by their keys."""
    entities = Entities(device, available=_seeing(topics, camera), prefix=f"{camera}_", title=_title(camera))
    _people(entities, topics, camera)
    _events(entities, topics, camera)
    _controls(entities, topics, camera)
    _last_alert(entities, topics, camera)
    _health(entities, topics, camera)
    _triggers(entities, topics, camera)
    return entities.components


def _title(camera: str) -> str:
    return camera.replace("-", " ").replace("_", " ").strip().capitalize() or camera


def _seeing(topics: Topics, camera: str) -> list[Component]:
    """What a camera shows is only known while it is not offline."""
    watching = {
        "topic": topics.camera_status(camera),
        "value_template": _REACHABLE,
        "payload_available": "ON",
        "payload_not_available": "OFF",
    }
    return [*alive(topics), watching]


def _people(entities: Entities, topics: Topics, camera: str) -> None:
    person = {"state_topic": topics.person(camera)}
    entities.add(
        "occupancy", "binary_sensor", "occupancy", **person, value_template=_PEOPLE_ONLY, device_class="occupancy"
    )
    entities.add("count", "sensor", "people", **person, state_class="measurement", icon="mdi:account-multiple")
    entities.add("motion", "binary_sensor", "motion", state_topic=topics.motion(camera), device_class="motion")
    entities.add(
        "snapshot", "image", "last person", image_topic=topics.snapshot(camera), content_type="image/jpeg",
        icon="mdi:account-box",
    )  # fmt: skip


def _events(entities: Entities, topics: Topics, camera: str) -> None:
    always = {"availability": alive(topics)}
    entities.add("alert", "event", "alert", **always, **alert_event(topics, camera), icon="mdi:account-alert")
    visit: dict[str, Any] = {"state_topic": topics.events, "event_types": ["appeared", "left"], "qos": 1}
    visit["value_template"] = _VISIT.replace("CAMERA", camera)
    entities.add("visit", "event", "visit", **always, **visit, icon="mdi:walk")
    gone = "{{ {'event_type': value_json.reason, 'captured_at': value_json.captured_at} | tojson }}"
    tamper: dict[str, Any] = {"state_topic": topics.tamper, "event_types": list(EXPLAINED), "qos": 1}
    tamper["value_template"] = only(camera, "value_json.camera", gone)
    entities.add("tamper", "event", "tampering", **always, **tamper, icon="mdi:camera-off")


def _controls(entities: Entities, topics: Topics, camera: str) -> None:
    always: dict[str, Any] = {"availability": alive(topics), "qos": 1}
    detect = {"state_topic": topics.detect_state(camera), "command_topic": topics.detect_set(camera)}
    entities.add("detect", "switch", "detection", **always, **detect, icon="mdi:account-search")
    suppress = {"command_topic": topics.suppress_set(camera), "payload_press": "LATEST"}
    entities.add("suppress", "button", "nobody was there", **always, **suppress, icon="mdi:account-cancel")
    state = {"state_topic": topics.snooze_state(camera)}
    minutes: dict[str, Any] = {"min": 0, "max": _MAX_SNOOZE_MIN, "step": 1, "mode": "box", "unit_of_measurement": "min"}
    entities.add(
        "snooze", "number", "snooze", **always, **state, **minutes, icon="mdi:bell-sleep",
        command_topic=topics.snooze_set(camera), command_template="{{ (value | float * 60) | int }}",
        value_template="{{ (value_json.seconds / 60) | round(2) }}",
    )  # fmt: skip
    until = {"value_template": "{{ value_json.until }}", "device_class": "timestamp"}
    entities.add("snoozed_until", "sensor", "snoozed until", **always, **state, **until, icon="mdi:bell-sleep-outline")


def _last_alert(entities: Entities, topics: Topics, camera: str) -> None:
    last: dict[str, Any] = {"availability": alive(topics), "state_topic": topics.last_alert(camera)}
    when = {"value_template": "{{ value_json.captured_at }}", "device_class": "timestamp"}
    entities.add(
        "last_alert", "sensor", "last alert", **last, **when, json_attributes_topic=topics.last_alert(camera),
        json_attributes_template=ATTRIBUTES, icon="mdi:clock-alert-outline",
    )  # fmt: skip
    took = {"value_template": "{{ value_json.latency_ms }}", "device_class": "duration", "unit_of_measurement": "ms"}
    entities.add(
        "latency", "sensor", "alert latency", **last, **took, suggested_display_precision=0, **DIAGNOSTIC,
        icon="mdi:timer-outline",
    )  # fmt: skip


def _health(entities: Entities, topics: Topics, camera: str) -> None:
    always: dict[str, Any] = {"availability": alive(topics), **DIAGNOSTIC}
    status = {"state_topic": topics.camera_status(camera)}
    entities.add(
        "status", "binary_sensor", "camera", **always, **status, value_template=_REACHABLE, device_class="connectivity"
    )
    options = {"device_class": "enum", "options": ["online", "degraded", "offline"]}
    entities.add("state", "sensor", "status", **always, **status, **options, value_template=_STATE, icon="mdi:cctv")
    entities.add(
        "fps", "sensor", "frame rate", **DIAGNOSTIC, state_topic=topics.stats, state_class="measurement",
        value_template=f"{{{{ (value_json.cameras['{camera}'] | default({{}})).fps | default(none) }}}}",
        unit_of_measurement="fps", icon="mdi:filmstrip",
    )  # fmt: skip


def _triggers(entities: Entities, topics: Topics, camera: str) -> None:
    """What automations may begin with, by the device."""
    alert = "{{ value_json.camera ~ (' again' if value_json.repeat else '') }}"
    entities.add_trigger("on_intrusion", "intrusion", topic=topics.alerts, value_template=alert, payload=camera)
    entities.add_trigger(
        "on_reminder", "reminder", topic=topics.alerts, value_template=alert, payload=f"{camera} again"
    )
    visit = "{{ value_json.type ~ ' ' ~ value_json.after.camera }}"
    entities.add_trigger(
        "on_person", "person appeared", topic=topics.events, value_template=visit, payload=f"new {camera}"
    )
    entities.add_trigger(
        "on_tamper", "tampering", topic=topics.tamper, value_template="{{ value_json.camera }}", payload=camera
    )
