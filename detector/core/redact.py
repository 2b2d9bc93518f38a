"""Nothing secret leaves the process: URLs, messages and log records are masked here.

Two nets: literal secrets that the configuration named (`Redactor.learn`), and the user-info part
of anything that looks like a URL, whatever characters the password holds.
"""

from __future__ import annotations

import logging
import re
import threading
from urllib.parse import quote, unquote

MASK = "***"
_MIN_LITERAL = 3  # masking one- or two-letter secrets would shred every text and so reveal them
# Greedy up to the last @ before a space, quote or the path: passwords may hold ':' and '@'.
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<info>[^\s/'\"<>]*)@")
_QUERY_SECRET = re.compile(
    r"(?P<key>[?&](?:password|passwd|pwd|pass|token|user|username|usr|auth|key|secret)=)[^&\s'\"<>]+", re.IGNORECASE
)


def redact_urls(text: str) -> str:
    """`text` with the user-info and secret query values of every URL in it masked."""
    text = _USERINFO.sub(lambda m: f"{m['scheme']}{MASK}@", text)
    return _QUERY_SECRET.sub(lambda m: f"{m['key']}{MASK}", text)


def userinfo_secrets(url: str) -> set[str]:
    """The user-info of `url` and its password, raw and percent-decoded: what to learn as literals."""
    found: set[str] = set()
    for match in _USERINFO.finditer(url):
        info = match["info"]
        found |= {info, unquote(info)}
        if ":" in info:
            password = info.split(":", 1)[1]
            found |= {password, unquote(password)}
    return {item for item in found if item}


class Redactor:
    """Masks every secret that it was taught, and all URL credentials. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._literals: tuple[str, ...] = ()

    def learn(self, *secrets: str | None) -> None:
        """Mask these from now on, percent-encoded forms included; empty and tiny ones are left out."""
        fresh = {form for s in secrets if s and len(s) >= _MIN_LITERAL for form in (s, quote(s, safe=""))}
        with self._lock:
            # Longest first: a secret that contains another must go whole.
            self._literals = tuple(sorted(fresh | set(self._literals), key=len, reverse=True))

    def __call__(self, text: str) -> str:
        text = redact_urls(text)
        for literal in self._literals:
            text = text.replace(literal, MASK)
        return text


redact = Redactor()
"""The process's one redactor: config loading teaches it, logging and errors go through it."""


class RedactingFilter(logging.Filter):
    """Masks a record's finished text, arguments and traceback included."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True
