from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from detector.api import json_web_token

KEY = b"k" * 32
NOW = 1_780_000_000.0


def part(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def made(header: object, claims: object, key: bytes = KEY) -> bytes:
    """Signed as RFC 7515 says, whatever it holds."""
    text = f"{part(header)}.{part(claims)}"
    signature = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}".encode()


def test_it_is_good_until_it_ends() -> None:
    token = json_web_token.signed(KEY, subject="frigate", expires=int(NOW) + 60).encode()
    assert json_web_token.is_valid(KEY, token, now=NOW + 59)
    assert not json_web_token.is_valid(KEY, token, now=NOW + 60)
    assert not json_web_token.is_valid(b"another", token, now=NOW)
    header, claims, _ = token.split(b".")
    assert json.loads(base64.urlsafe_b64decode(header + b"==")) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(base64.urlsafe_b64decode(claims + b"==")) == {"sub": "frigate", "exp": int(NOW) + 60}


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"..",
        b"a.b.c",
        b"\xff\xfe.\xfd.\xfc",
        made({"alg": "none"}, {"exp": NOW + 60}),
        made({"alg": "HS256", "typ": "JWT"}, {"exp": str(NOW + 60)}),
        made({"alg": "HS256", "typ": "JWT"}, {}),
        made({"alg": "HS256", "typ": "JWT"}, [1]),
        made({"alg": "HS256", "typ": "JWT"}, {"exp": int(NOW) + 60}, key=b"another"),
        json_web_token.signed(KEY, subject="x", expires=int(NOW) + 60).rpartition(".")[0].encode() + b".",
        json_web_token.signed(KEY, subject="x", expires=int(NOW) + 60).encode() + b"A",
    ],
)
def test_anything_else_is_not(token: bytes) -> None:
    assert not json_web_token.is_valid(KEY, token, now=NOW)
