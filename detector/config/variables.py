"""`${NAME}`, `${NAME:-default}` and `$$` in the configuration's texts, filled in from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from detector.core.errors import ConfigError
from detector.core.redact import redact
from detector.core.urls import split_url

from .secret_keys import is_masked_everywhere

VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}$]*))?\}")
_TOKEN = re.compile(rf"\$\$|{VARIABLE.pattern}")
_WRITTEN = re.compile(rf"\$\$(?:\{{[^}}]*\}})?|{VARIABLE.pattern}")
# Other programs' spellings: taken literally, they would be sent to a camera as its password.
_FOREIGN = re.compile(
    r"\$[A-Za-z_{(]|\{\{|\{%|(?<!\$)\{[A-Z_][A-Z0-9_]*\}|(?:^|[:/=])%[A-Z_][A-Z0-9_]*%(?=$|@)|%\([A-Za-z_]\w*\)s"
)
_SECRET_NAME = re.compile(r"PASS|PW|TOKEN|SECRET|KEY|AUTH|CRED", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Spans:
    """Where a URL's user-info and host lie in a text, as (start, end); None where it is no URL."""

    info: tuple[int, int] | None
    place: tuple[int, int] | None

    def in_info(self, match: re.Match[str]) -> bool:
        return self.info is not None and self.info[0] <= match.start() and match.end() <= self.info[1]

    def in_place(self, match: re.Match[str]) -> bool:
        return self.place is not None and self.place[0] <= match.start() and match.end() <= self.place[1]


def _spans(text: str) -> _Spans:
    # Each variable as letters of the same length: what it stands for must not move the borders.
    filled = _TOKEN.sub(lambda m: "v" * len(m[0]), text)
    split = split_url(filled)
    if split is None:
        return _Spans(info=None, place=None)
    start = filled.index("://") + 3
    if split.info is None:
        return _Spans(info=None, place=(start, start + len(split.place)))
    end = start + len(split.info)
    return _Spans(info=(start, end), place=(end + 1, end + 1 + len(split.place)))


def expand(value: Any, environment: Mapping[str, str], path: str = "") -> Any:
    """A copy of `value` with every variable filled in; raises ConfigError naming the key.

    In a URL's user-info, and as a parameter's value, it is percent-encoded: in the environment a password stands as
    it is.
    What comes from a variable in a sensitive place is given to the redactor.
    """
    if isinstance(value, dict):
        return {k: expand(v, environment, f"{path}.{k}" if path else str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [expand(v, environment, f"{path}.{i}") for i, v in enumerate(value)]
    return _expand_text(value, environment, path) if isinstance(value, str) else value


def _expand_text(text: str, environment: Mapping[str, str], path: str) -> str:
    _refuse_foreign(text, path)
    spans = _spans(text)

    def filled(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return quote("$", safe="$")
        found = _value(match, environment, path)
        _learn(found, match, spans, path)
        if spans.place is not None and _is_parameter(match):
            return quote(found, safe="")
        if not spans.in_info(match) or spans.info is None:
            return found
        # A variable that is the whole of it holds USER:PASSWORD.
        whole = match.span() == spans.info
        return quote(found, safe=":" if whole else "")

    return _TOKEN.sub(filled, text)


def _is_parameter(match: re.Match[str]) -> bool:
    """Whether the variable is the whole value of a parameter of the URL that it stands in."""
    before, after = match.string[: match.start()], match.string[match.end() :]
    return re.search(r"[?&;][^?&;=\s]+=$", before) is not None and re.match(r"[&;#]|\s*$", after) is not None


def _refuse_foreign(text: str, path: str) -> None:
    found = _FOREIGN.search(_WRITTEN.sub(" ", text))
    # Braces are part of a pipeline's language.
    if found is None or (text.lower().startswith("gst:") and "{" in found[0] and "$" not in found[0]):
        return
    raise ConfigError(
        "this looks like a variable, but variables are written ${NAME} or ${NAME:-default}; a dollar sign itself is "
        "$$, and any other text can come in through a variable",
        key=path,
    )


def _value(match: re.Match[str], environment: Mapping[str, str], path: str) -> str:
    name, default = match["name"], match["default"]
    # Files from Windows and `$(cat file)` leave a line's end behind the value.
    value = environment.get(name, "").rstrip("\r\n")
    if value or (name in environment and default is None):
        return value
    if default is None:
        raise ConfigError(f"the environment variable {name} is not set", key=path)
    return default


def _learn(value: str, match: re.Match[str], spans: _Spans, path: str) -> None:
    key, whole = path.rpartition(".")[2], match[0] == match.string.strip()
    if "://" in value or value.lower().startswith("gst:"):
        redact.learn_source(value)
    elif (
        is_masked_everywhere(key)
        or _SECRET_NAME.search(match["name"])
        or ("source" in key and not whole and not spans.in_place(match))
    ):
        redact.learn(value)
