"""RTSP's requests and responses as text (RFC 2326, sections 4 to 7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_STATUS = re.compile(r"RTSP/\d\.\d\s+(\d{3})\b")
_REQUEST = re.compile(r"([A-Z_]{3,20})\s+\S+\s+RTSP/\d\.\d")
_MAX_BODY = 1 << 18
# The headers that are read here: found behind stray bytes, too, unless those make another header's name of them.
_KNOWN = ("content-length", "content-type", "content-base", "www-authenticate", "transport", "session", "cseq")
_KNOWN_IN_JUNK = re.compile(f"(?<![-a-z])({'|'.join(_KNOWN)}):", re.IGNORECASE)
_KNOWN_AT_END = re.compile(f"(?:.*[^-])?({'|'.join(_KNOWN)})", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RtspMessage:
    """A response (`status`) or the camera's own request (`method`); header names in lower case."""

    status: int | None = None
    method: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    def get(self, name: str) -> str | None:
        """The first header called `name`, in lower case."""
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


def parse_head(head: bytes) -> RtspMessage:
    """A message without its body; raises ValueError if it is not RTSP."""
    lines = head.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    status, request = _STATUS.match(lines[0]), _REQUEST.fullmatch(lines[0].strip())
    if status is None and request is None:
        raise ValueError("neither an RTSP response nor a request")
    headers: list[tuple[str, str]] = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = _header_name(name)
        if name not in _KNOWN and not line.isascii() and (known := _KNOWN_IN_JUNK.search(line)):
            name, value = known[1].lower(), line[known.end() :]
        if colon:
            headers.append((name, value.strip()))
    return RtspMessage(
        status=int(status[1]) if status else None, method=request[1] if request else None, headers=tuple(headers)
    )


def _header_name(text: str) -> str:
    name = text.strip().lower()
    found = _KNOWN_AT_END.fullmatch(name)
    return found[1] if found else name


def body_length(message: RtspMessage) -> int:
    """Length of the body in bytes; raises ValueError if it is invalid."""
    text = message.get("content-length") or "0"
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) > _MAX_BODY:
        raise ValueError("a Content-Length that makes no sense")
    return int(text)


def request(method: str, url: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {url} RTSP/1.0", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def answer(message: RtspMessage, *, status: str) -> bytes:
    """The response to the camera's own request."""
    return f"RTSP/1.0 {status}\r\nCSeq: {message.get('cseq') or '0'}\r\n\r\n".encode()
