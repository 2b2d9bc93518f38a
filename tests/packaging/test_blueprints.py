"""The Home Assistant blueprints' templates: each is valid Jinja, and the notification's data is what a phone takes.

Home Assistant itself loads and runs them in `make ha-test`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

BLUEPRINTS = sorted((Path(__file__).resolve().parents[2] / "docs/blueprints").rglob("*.yaml"))


class Loader(yaml.SafeLoader):
    """YAML with Home Assistant's `!input NAME`."""


Loader.add_constructor("!input", lambda _loader, node: f"input {node.value}")


def environment() -> jinja2.Environment:
    """With the test of Home Assistant that the templates use beside Jinja's own."""
    made = jinja2.Environment()  # no HTML
    made.tests["match"] = lambda text, pattern: re.match(pattern, text) is not None
    made.tests["search"] = lambda text, pattern: re.search(pattern, text) is not None
    return made


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        yield from (text for value in node.values() for text in strings(value))
    elif isinstance(node, list):
        yield from (text for value in node for text in strings(value))


def load(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader)  # a SafeLoader


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_every_template_is_valid(path: Path) -> None:
    templates = [text for text in strings(load(path)) if "{{" in text or "{%" in text]
    assert len(templates) >= 5
    made = environment()
    made.filters |= dict.fromkeys(("as_datetime", "timestamp_custom"), str)
    for text in templates:
        made.parse(text)


@pytest.mark.parametrize("critical", [False, True])
@pytest.mark.parametrize(("image", "clip"), [("", ""), ("https://yard.example/picture", "https://yard.example/clip")])
def test_the_notification_holds_what_there_is(image: str, clip: str, critical: bool) -> None:
    (text,) = [text for text in strings(load(BLUEPRINTS[0])) if "'actions'" in text]
    values = {"event_id": "1", "camera": "porch", "snooze": "S", "suppress": "N", "minutes": 30}
    data = ast.literal_eval(environment().from_string(text).render(**values, image=image, clip=clip, critical=critical))
    assert data.get("image") == (image or None)
    assert [one["action"] for one in data["actions"]] == ["S", "N", *(["URI"] if clip else [])]
    assert data["push"]["interruption-level"] == ("critical" if critical else "time-sensitive")
    assert ("channel" in data) == critical
