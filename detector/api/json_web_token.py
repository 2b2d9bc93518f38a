"""JSON web tokens signed with HMAC-SHA256 (RFC 7519, RFC 7515): the form in which Frigate's clients keep a session."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import Final

_HEADER: Final = b'{"alg":"HS256","typ":"JWT"}'


def signed(key: bytes, *, subject: str, expires: int) -> str:
    """A token of `subject` that is good until `expires`, epoch s."""
    claims = json.dumps({"sub": subject, "exp": expires}, separators=(",", ":")).encode()
    text = f"{_encoded(_HEADER)}.{_encoded(claims)}"
    return f"{text}.{_signature(key, text)}"


def is_valid(key: bytes, token: bytes, *, now: float) -> bool:
    """Whether `token` was signed with `key` and is still good at `now`, epoch s."""
    text, _, signature = token.decode("latin-1").rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(key, text).encode()):
        return False
    header, _, claims = text.partition(".")
    try:
        expires = json.loads(_decoded(claims))["exp"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        return False
    # Whatever else was signed with this key (an algorithm that its own header names) is none of these.
    return header == _encoded(_HEADER) and isinstance(expires, int) and now < expires


def _signature(key: bytes, text: str) -> str:
    return _encoded(hmac.new(key, text.encode(), hashlib.sha256).digest())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
