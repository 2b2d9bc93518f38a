"""No secret leaves the process: log records, errors, API answers and MQTT documents are masked here.

Two nets. The first is a registry of the secrets in use: loading a configuration fills it (`learn`,
`learn_source`), and they are masked wherever they appear, raw, percent-encoded or escaped, in any mix.
The second masks by shape, for text from before a configuration was loaded and for other people's
URLs: the user-info and the secret parameters of anything that looks like a URL.

A secret of fewer than MIN_LITERAL characters is masked only in its place (in a URL, behind its key, as
a whole value of the configuration): masking every "a" would make all text unreadable, and reveal it.
"""

from __future__ import annotations

import base64
import logging
import re
import threading
from collections.abc import Mapping
from typing import Any

from .urls import SENSITIVE_NAME, mask_source, secrets_in, split_url

MASK = "***"
MIN_LITERAL = 4
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_TOKEN = re.compile(r"[^\s'\"<>]*")
_HEAD = re.compile(r"[^\s/?#'\"<>]*")
_PLACE = re.compile(r"(?:\[[^\]]*\]|[^:@]*)(?::\d{0,5})?[.,;:!)*]*")
_PARAMETER = re.compile(
    rf"(?P<key>(?:[?&;]|(?<=[^\W_])_|(?<=/)){SENSITIVE_NAME}=)"
    r"(?:(?!_[A-Za-z]+=)[^&;\s'\"<>])+",
    re.IGNORECASE,
)
_PROPERTY = re.compile(
    r"(?P<key>\b(?:user|proxy|access)-(?:pw|id|token)\s*=\s*)(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s!]+)",
    re.IGNORECASE,
)
_ESCAPED = re.compile(r"[%\\&+]")
_SLASHES = r"\\{1,15}"  # each text in another doubles the backslashes: four deep
_AFTER_SLASHES = r"(?<=\\)"
_ROWS = re.compile(r"(\\+)")
_LETTERS = {"\b": "b", "\n": "n", "\r": "r", "\t": "t"}
_ENTITIES = {
    "<": "&lt;",
    ">": "&gt;",
    "&": "&amp;",
    '"': "&(?:quot|#34);",
}
# Values that are identifiers or fixed words of the product: public by nature, and read by machines.
PUBLIC_KEYS = frozenset(
    ("id", "state", "camera", "label", "zones", "current_zones", "entered_zones", "backend", "precision", "version")
) | frozenset(("protocol", "stage", "provider", "engine_key", "idle_decode", "initial", "armed", "transport", "decode"))


def redact_urls(text: str) -> str:
    """`text` with the user-info and the secret parameters of every URL in it masked, by their shape alone."""
    if "://" not in text and "=" not in text:
        return text
    parts, start = [], 0
    for found in _URL.finditer(text):
        if found.start() < start:
            continue
        cut = _info_end(text, found.end())
        if cut is not None:
            parts += [text[start : found.end()], MASK]
            start = cut
    masked = "".join([*parts, text[start:]])
    masked = _PROPERTY.sub(lambda m: f"{m['key']}{MASK}", masked)
    return _PARAMETER.sub(lambda m: f"{m['key']}{MASK}", masked)


def _info_end(text: str, start: int) -> int | None:
    """The index of the `@` that ends the user-info of the URL whose authority begins at `start`."""
    found = _HEAD.match(text, start)
    end = found.end() if found else start
    token = _TOKEN.match(text, start)
    split = split_url(f"x://{token[0]}") if token else None
    if token and split is not None and split.ambiguous:
        return text.rfind("@", start, token.end())
    at = text.rfind("@", start, end)
    if at >= 0:
        return at
    if _PLACE.fullmatch(text, start, end) and not (text[end - 1 : end] == ":" and text[end : end + 1] in "<>\"'#?"):
        return None
    # user:pass with an odd character: up to the last @ of the line, but not into the next URL.
    limits = [i for i in (text.find("\n", end), text.find("://", end)) if i >= 0]
    at = text.rfind("@", end, min(limits, default=len(text)))
    return at if at >= 0 else None


def _character(character: str, slashes: str = _SLASHES) -> str:
    """A pattern for one character as it is, percent-encoded or escaped for JSON or Python (once or more), or for HTML.

    `slashes` is the pattern of what escapes it.
    """
    forms = [re.escape(character), "".join(f"%(?:25)*{byte:02X}" for byte in character.encode(errors="replace"))]
    if ord(character) < 256:
        forms.append(f"%(?:25)*{ord(character):02X}")
        forms.append(rf"{slashes}x{ord(character):02x}")
    if not character.isalnum() or not character.isascii():
        forms.append(slashes + _SLASHES.join(f"u{ord(unit):04x}" for unit in _utf16(character)))
        forms.append(rf"{slashes}U{ord(character):08x}")
        forms.append(f"&#(?:{ord(character)}|x{ord(character):x});")
    if character in "'\"/":
        forms.append(slashes + re.escape(character))
    if character in _LETTERS:
        forms.append(slashes + _LETTERS[character])
    if character in _ENTITIES:
        forms.append(_ENTITIES[character])
    return f"(?:{'|'.join(dict.fromkeys(forms))})"


def _word(word: str) -> str:
    """A pattern for a word, in which no backslash of a text can be matched by two parts: ways would multiply."""
    first, *rest = _ROWS.split(word)
    parts = [*map(_character, first)]
    for row, text in zip(rest[::2], rest[1::2], strict=True):
        # As many as escape the row, and one more character's.
        backslashes = rf"\\{{{len(row)},{15 * len(row) + 15}}}"
        parts.append(f"(?:{backslashes}|(?:{_character(row[0])}){{{len(row)}}})")
        parts += [_character(character, _SLASHES if at else _AFTER_SLASHES) for at, character in enumerate(text)]
    return "".join(parts)


def _utf16(character: str) -> str:
    code = ord(character) - 0x10000
    return character if code < 0 else chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF))


# Every character that str.split() splits at: as it is, percent-encoded, or escaped.
_SPACE = (
    r"(?:\s|\+|"
    + _SLASHES
    + r"(?:[nrtvf]|x(?:0[9-d]|1[c-f]|85|a0)|u(?:00(?:0[9-d]|1[c-f]|85|a0)|1680|20[025][0-9af]|3000))"
    r"|%(?:25)*(?:(?:C2%(?:25)*)?(?:0[9-D]|1[C-F]|20|85|A0)|E1%(?:25)*9A%(?:25)*80|E2%(?:25)*8[01]%(?:25)*[89A].|"
    r"E3%(?:25)*80%(?:25)*80))+"
)


def _pattern(secret: str) -> re.Pattern[str]:
    # Messages are put on one line, so white space inside a secret may have shrunk to one blank.
    words = [_word(word) for word in secret.split()]
    return re.compile(_SPACE.join(words), re.IGNORECASE)


def _is_user_info(secret: str) -> bool:
    """Whether it is a user-info between its // and @, in which a password of any length can be recognised."""
    return secret.startswith("//") and secret.endswith("@")


class Redactor:
    """The registry of secrets, and the masking of text by both nets. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: frozenset[str] = frozenset()
        self._patterns: tuple[tuple[str, re.Pattern[str]], ...] = ()

    def learn(self, *secrets: str | None) -> None:
        """Mask these from now on; None and what is only white space are left out."""
        fresh = {secret for secret in secrets if secret and secret.strip()} - self._known
        if not fresh:
            return
        found = [(" ".join(s.split()), s) for s in fresh if len(s.strip()) >= MIN_LITERAL or _is_user_info(s)]
        compiled = {plain.lower(): _pattern(secret) for plain, secret in found}
        with self._lock:
            self._known |= fresh
            merged = {**dict(self._patterns), **compiled}
            # Longest first: a secret that contains another must go whole.
            self._patterns = tuple(sorted(merged.items(), key=lambda item: len(item[0]), reverse=True))

    def learn_source(self, source: str) -> None:
        """Mask every secret in a camera's source: a URL or a GStreamer pipeline."""
        self.learn(*secrets_in(source))

    def learn_login(self, user: str, password: str) -> None:
        """Mask the password, and both as HTTP Basic sends them."""
        self.learn(password, base64.b64encode(f"{user}:{password}".encode()).decode())

    def is_secret(self, text: str) -> bool:
        """Whether `text`, of any length, is one of the secrets."""
        return text in self._known

    def __call__(self, text: str) -> str:
        return redact_urls(self._without_known(text))

    def _without_known(self, text: str) -> str:
        if not self._patterns:
            return text
        plain, escaped = " ".join(text.lower().split()), _ESCAPED.search(text) is not None
        for literal, pattern in self._patterns:
            if escaped or literal in plain:
                text = pattern.sub(f"//{MASK}@" if _is_user_info(literal) else MASK, text)
        return text

    def document(self, value: Any, key: str = "") -> Any:
        """A JSON-ready copy of `value` with the text in it masked; keys and PUBLIC_KEYS' values stay."""
        if isinstance(value, str):
            return value if key in PUBLIC_KEYS else self(value)
        if isinstance(value, Mapping):
            return {each: self.document(item, str(each)) for each, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.document(item, key) for item in value]
        return value


redact = Redactor()
"""The process's one redactor: config loading fills it; logging, errors, API and MQTT go through it."""


def shown_source(source: str) -> str:
    """A camera's source without its secrets; the same text for the same source in every process."""
    return mask_source(source, MASK)


class RedactingFilter(logging.Filter):
    """Masks a record's finished text, arguments, traceback and stack included."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except Exception:  # arguments that do not fit the format: still a record, never a leak
            text = f"{record.msg} {record.args!r}"
        record.msg, record.args = redact(text), None
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True
