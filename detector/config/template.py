"""Texts with fields in braces: `{camera}`, and nothing else that `str.format` would do.

No attributes, no indexes, no conversions, no widths: a template can read nothing but the fields, and cannot grow.
"""

from __future__ import annotations

import difflib
import string
from collections.abc import Mapping

FIELDS = (
    "alert_id", "camera", "clip_url", "date", "device", "event_id", "latency_ms", "people_since", "score",
    "snapshot_url", "time", "zones",
)  # fmt: skip


def parts(text: str) -> list[tuple[str, str | None]]:
    """(literal text, the field behind it) in order; ValueError that says what is wrong."""
    try:
        found = list(string.Formatter().parse(text))
    except ValueError:
        raise ValueError("a brace has no partner: fields are written {camera}") from None
    for _, field, spec, conversion in found:
        if field is None:
            continue
        if spec or conversion:
            raise ValueError(f"write {{{_known(field)}}} alone, without ! or : behind the name")
        _known(field)
    return [(literal, field) for literal, field, _, _ in found]


def _known(field: str) -> str:
    if field not in FIELDS:
        near = difflib.get_close_matches(field, FIELDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"a field is one of {', '.join(FIELDS)}, in braces{hint}")
    return field


def render(text: str, values: Mapping[str, str]) -> str:
    """`text` with each field's value; one without a value is empty. A brace in a value is text."""
    return "".join(literal + (values.get(field, "") if field else "") for literal, field in parts(text))


def checked(text: str) -> str:
    """For the configuration: `text` if it is a template."""
    parts(text)
    return text
