"""The configuration as a document: read, validated, masked, written back.

A document is the YAML as the user wrote it, `${NAME}` unexpanded; only `validate` turns it into a
`Config`. Errors name the key and never the value, which may be a secret.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from detector.core.errors import ConfigError
from detector.core.redact import redact

from .device_id import with_kept_id
from .edit import updated
from .explain import explain
from .masking import Document, learn, mask_value, masked
from .saving import keep_beside, save
from .schema import Config
from .variables import expand
from .yaml_text import dump, parse

__all__ = ["Document", "etag", "load", "masked", "mqtt_password", "parse", "read", "unmasked", "validate", "write"]
log = logging.getLogger(__name__)
_MAX_BYTES = 1 << 20


def read(path: Path) -> Document:
    """The document at `path`; raises ConfigError that says what to do."""
    text = _text(path)
    try:
        return parse(text)
    except ConfigError as error:
        copy_of_new = path.with_name(f".{path.name}.new")
        hint = f"; saving it was interrupted: the whole new text is in {copy_of_new}" if copy_of_new.is_file() else ""
        raise ConfigError(f"{path}: {error}{hint}") from None


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"no config file {path}: run `detector init {path}` to write one") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{path} is larger than 1 MiB: not a config file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text: save it as UTF-8, if it is a config file") from None


def validate(document: Document, environment: Mapping[str, str] | None = None) -> Config:
    """A document to a Config, `${NAME}` filled in; raises ConfigError for the first fault.

    Teaches the redactor every secret on the way. An id that is not configured is the one kept in data_dir. Top-level keys that begin with x- hold YAML anchors and are left out.
    """
    sections = {key: value for key, value in document.items() if not str(key).startswith("x-")}
    expanded = expand(sections, os.environ if environment is None else environment)
    learn(expanded)
    try:
        return with_kept_id(Config.model_validate(expanded))
    except ValidationError as error:
        raise explain(error, expanded, getattr(document, "marks", {})) from None


def load(path: Path) -> Config:
    """Read and validate; raises ConfigError prefixed with the file's name."""
    document = read(path)
    try:
        return validate(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def mqtt_password(config: Config) -> SecretStr | None:
    """The broker's password from the config or from `password_file`; raises ConfigError."""
    path = config.mqtt.password_file
    if path is None:
        return config.mqtt.password
    try:
        secret = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ConfigError(f"cannot read {path}: {reason}", key="mqtt.password_file") from None
    redact.learn_login(config.mqtt.username or "", secret)
    return SecretStr(secret)


def unmasked(document: Document, current: Document) -> Document:
    """`document` with every value that is merely the masked form of `current`'s put back."""

    def walk(new: Any, old: Any, key: str) -> Any:
        if isinstance(new, dict):
            olds = old if isinstance(old, dict) else {}
            return {k: walk(v, olds.get(k), str(k)) for k, v in new.items()}
        if isinstance(new, list):
            before = old if isinstance(old, list) else []
            return [walk(v, before[i] if i < len(before) else None, key) for i, v in enumerate(new)]
        if isinstance(new, str) and isinstance(old, str) and new == mask_value(key, old):
            return old
        return copy.deepcopy(new)

    result: Document = walk(document, current, "")
    return result


def etag(document: Document) -> str:
    """A strong validator of the document's content, quotes included (RFC 9110, 8.8.3)."""
    canonical = json.dumps(document, sort_keys=True, default=str).encode()
    return f'"{hashlib.sha256(canonical).hexdigest()[:32]}"'


def write(path: Path, document: Document, *, copies: Path | None = None) -> None:
    """Make the file at `path` say `document`; its comments, order and anchors stay. Raises ConfigError.

    What the text could not keep is left beside it as NAME.before, and the log says so. `copies` is a
    folder for the copy that a write in place needs where the file's own cannot be written (`saving.save`).
    """
    old = _text(path) if path.is_file() else ""
    text, whole = updated(old, document) if old.strip() else (dump(document), True)
    beside = None if whole else keep_beside(path, old)
    save(path, text, copies=copies)
    if not whole:
        log.warning("%s: not every comment could be kept; the old text is %s", path, beside or "lost")
