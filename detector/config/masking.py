"""The configuration without its secrets, and the registry of those secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from detector.core.redact import MASK, PUBLIC_KEYS, redact, shown_source

from .notify_secrets import secrets_of, target_urls
from .secret_keys import is_masked_everywhere, is_secret_key
from .variables import VARIABLE

Document = dict[str, Any]
_DEFAULT = re.compile(r"(\$\{[A-Za-z_][A-Za-z0-9_]*:-)([^}$]*)\}")


def texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in `value` with the key that it stands under."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from texts(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, key)
    elif isinstance(value, str):
        yield key, value


def learn(expanded: Document) -> None:
    """Give the redactor every secret of a document, variables filled in; before anything in it is judged."""
    for key, text in texts(expanded):
        if is_masked_everywhere(key):
            redact.learn(text)
        elif "://" in text or text.lower().startswith("gst:"):
            redact.learn_source(text)
    for url in target_urls(expanded):
        redact.learn(*secrets_of(url))
    mqtt = expanded.get("mqtt")
    if isinstance(mqtt, dict) and isinstance(mqtt.get("password"), str):
        redact.learn_login(str(mqtt.get("username", "")), mqtt["password"])


def mask_value(key: str, value: Any) -> Any:
    """`value` as it may be shown under `key`; `${NAME}` stays, since it must survive a round trip."""
    if not isinstance(value, str) or key in PUBLIC_KEYS:
        return value
    whole = VARIABLE.fullmatch(value)
    if whole is not None:
        default = whole["default"]
        return value if not default else f"{value[: whole.start('default')]}{mask_value(key, default)}}}"
    if is_secret_key(key) or redact.is_secret(value):
        return MASK
    if "://" in value or value.lower().startswith("gst:"):
        value = shown_source(value)
    return redact(value)


def masked(document: Document) -> Document:
    """A copy fit to be shown: secrets are `***`, URLs lose their user-info."""

    def walk(value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {k: walk(v, str(k)) for k, v in value.items()}
        if isinstance(value, list):
            return [walk(v, key) for v in value]
        return mask_value(key, value)

    result: Document = walk(document, "")
    return result
