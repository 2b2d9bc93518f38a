"""What the entities of Home Assistant's discovery message have in common."""

from __future__ import annotations

import re
from typing import Any, Final

from detector.config.schema import Device

from .topics import Topics

Component = dict[str, Any]
DIAGNOSTIC: Final[dict[str, Any]] = {"entity_category": "diagnostic"}
ATTRIBUTES: Final = "{{ value or '{}' }}"
"""Of a document as it is; a cleared topic has none."""
ALERT_TYPES = ("intrusion", "reminder")
"""Of the event entities: a person who was not there before, and one who still is."""
_IGNORE_EMPTY: Final = {"event": "", "update": ""}
"""Platforms that know no "None" for an unknown state."""


def alive(topics: Topics) -> list[Component]:
    """Available while the service is."""
    return [{"topic": topics.available, "payload_available": "online", "payload_not_available": "offline"}]


class Entities:
    """The components of one device or camera as they are added; `prefix` stands before each key and name."""

    def __init__(self, device: Device, *, available: list[Component], prefix: str = "", title: str = "") -> None:
        self._device, self._available = device, available
        self._prefix, self._title = prefix, title
        self.components: dict[str, Component] = {}

    def add(self, key: str, platform: str, name: str, **options: Any) -> None:
        """An entity; `options` may hold another `availability` than the rest's."""
        key = f"{self._prefix}{key}"
        self.components[key] = {
            "platform": platform,
            "name": f"{self._title} {name}".strip(),
            "unique_id": f"detector_{self._device.id}_{key}",
            "default_entity_id": f"{platform}.{slug(f'{self._device.id}_{key}')}",
            "availability": self._available,
            "availability_mode": "all",
            **{name: _unless_cleared(platform, name, value) for name, value in options.items()},
        }

    def add_trigger(self, key: str, kind: str, **options: Any) -> None:
        """A device trigger, `kind` of `subtype` as its user reads them."""
        self.components[f"{self._prefix}{key}"] = {
            "platform": "device_automation",
            "automation_type": "trigger",
            "type": kind,
            "subtype": self._title or self._device.title,
            **options,
        }


def _unless_cleared(platform: str, name: str, value: Any) -> Any:
    """A template over JSON that logs no error for a cleared topic, whose payload is empty: the state is unknown then."""
    if name not in ("value_template", "json_attributes_template") or "value_json" not in value:
        return value
    cleared = "{}" if name == "json_attributes_template" else _IGNORE_EMPTY.get(platform, "None")
    return f"{{% if value_json is defined %}}{value}{{% else %}}{cleared}{{% endif %}}"


def slug(text: str) -> str:
    """`text` as an entity id may hold it."""
    return re.sub(r"[^a-z0-9_]+", "_", text.lower())


def alert_event(topics: Topics, camera: str | None = None) -> dict[str, Any]:
    """An event entity's options for the alerts of `camera`, or of all.

    The platform wants `event_type`; the rest become the entity's attributes. An empty payload is no event to it.
    """
    attributes = {
        "event_type": "'reminder' if value_json.repeat else 'intrusion'",
        **{
            key: f"value_json.{key}"
            for key in ("id", "event_id", "camera", "zones", "score", "captured_at", "replayed")
        },
        "latency_ms": "value_json.latency_ms.total",
        **{key: f"value_json.{key} | default(none)" for key in ("snapshot_url", "clip_url")},
        # For automations, such as the blueprint, that answer to the alert.
        "snooze_topic": f"'{topics.prefix}/' ~ value_json.camera ~ '/snooze/set'",
        "suppress_topic": f"'{topics.prefix}/' ~ value_json.camera ~ '/suppress/set'",
    }
    document = ", ".join(f"'{key}': {value}" for key, value in attributes.items())
    return {
        "state_topic": topics.alerts,
        "value_template": only(camera, "value_json.camera", f"{{{{ {{{document}}} | tojson }}}}"),
        "event_types": list(ALERT_TYPES),
        "qos": 1,
    }


def only(camera: str | None, path: str, template: str) -> str:
    """`template` for what is of `camera`, nothing for the rest."""
    return template if camera is None else f"{{% if {path} == '{camera}' %}}{template}{{% endif %}}"
