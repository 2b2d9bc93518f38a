"""The configuration as a document: read, expanded, explained when wrong, masked, written back.

A document is the YAML as the user wrote it, `${NAME}` unexpanded; only `validate` turns it into a
`Config`. Errors name the key and never the value, which may be a secret.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr, ValidationError

from detector.core.errors import ConfigError
from detector.core.redact import redact

from .masking import Document, learn, mask_value, masked
from .schema import Config
from .variables import expand

__all__ = ["Document", "etag", "load", "masked", "mqtt_password", "parse", "read", "unmasked", "validate", "write"]
_MAX_BYTES = 1 << 20


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, where YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node.value, str):
                continue  # a list as a key: the base class refuses what cannot be one
            if key_node.value in seen:
                line = key_node.start_mark.line + 1
                raise yaml.MarkedYAMLError(problem=f"line {line}: the key {key_node.value!r} is given twice")
            seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


def parse(text: str) -> Document:
    """YAML to a document; raises ConfigError naming the line."""
    try:
        document = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - derives from SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"not valid YAML: {where}{error.problem}") from None
    except (yaml.YAMLError, RecursionError):
        raise ConfigError("not valid YAML: is it a text file?") from None
    except (ValueError, TypeError, AttributeError, KeyError):
        # PyYAML's constructors let these out: a key that is a list, 2024-13-45, !!int x.
        raise ConfigError("not valid YAML: a key must be plain text, a value must fit its type") from None
    if not isinstance(document, dict):
        raise ConfigError("the config must be a mapping of sections: run `detector init` for a starter file")
    return document


def read(path: Path) -> Document:
    """The document at `path`; raises ConfigError that says what to do."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"no config file {path}: run `detector init {path}` to write one") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{path} is larger than 1 MiB: not a config file")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text: not a config file") from None
    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a field's annotation speaks of, inside dict[...] or Annotated[...] too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in getattr(annotation, "__args__", ()) for found in _models_in(argument)]


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the section holding `location`'s last part takes."""
    section: type[BaseModel] = Config
    for part in location[:-1]:
        field = section.model_fields.get(str(part))
        # A part that is no field is a name in a mapping (a camera): the section stays.
        section = next(iter(_models_in(field.annotation)), section) if field else section
    return list(section.model_fields)


def _explain(location: tuple[int | str, ...], kind: str, message: str) -> ConfigError:
    key = ".".join(str(part) for part in location if part != "[key]")
    if kind == "extra_forbidden":
        known = _known_keys(location)
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        return ConfigError(f"unknown key; {hint}", key=key)
    if kind == "missing":
        return ConfigError("required, but not given", key=key)
    if kind == "string_pattern_mismatch":
        return ConfigError("use 1 to 32 of a-z, 0-9, _ and -", key=key)
    text = message.removeprefix("Value error, ").removeprefix("Input ")
    return ConfigError(text[:1].lower() + text[1:], key=key)


def validate(document: Document, environment: Mapping[str, str] | None = None) -> Config:
    """A document to a Config, `${NAME}` filled in; raises ConfigError for the first fault.

    Teaches the redactor every secret on the way.
    """
    expanded = expand(document, os.environ if environment is None else environment)
    learn(expanded)
    try:
        config = Config.model_validate(expanded)
    except ValidationError as error:
        # include_input=False: pydantic would echo the value, which may be a password.
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        # An unknown key is the likeliest root of the rest, so it is told first.
        first = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
        raise _explain(first["loc"], first["type"], first["msg"]) from None
    return config


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


def write(path: Path, document: Document) -> None:
    """Replace `path` atomically, its mode kept: a power cut leaves the old or the new, never half."""
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(mode)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink()
            raise
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
