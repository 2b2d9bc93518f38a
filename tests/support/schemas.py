"""The published JSON Schemas (2020-12) of the service's documents."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Literal


def load_schema(name: Literal["alert", "clip", "event", "tamper"]) -> dict[str, Any]:
    """The schema of an alert's or an event's document."""
    text = resources.files("detector.alerts").joinpath("schemas").joinpath(f"{name}.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
