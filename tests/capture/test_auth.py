"""The worked examples of RFC 2617 (3.5), RFC 7616 (3.9.1) and RFC 2069 (2.4, as corrected by its erratum 749)."""

from __future__ import annotations

import re
import secrets

import pytest

from detector.capture.auth import Credentials, challenges

_NONCE_2617 = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
_NONCE_7616 = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
_CNONCE_7616 = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


def header(challenge: str, password: str, user: str = "Mufasa") -> str:
    credentials = Credentials(user=user, password=password)
    credentials.accept(challenges([challenge])[0])
    return credentials.header("GET", "/dir/index.html") or ""


@pytest.mark.parametrize(
    ("challenge", "password", "cnonce", "response"),
    [
        (
            f'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="{_NONCE_2617}", opaque="5ccc"',
            "Circle Of Life",
            "0a4f113b",
            "6629fae49393a05397450978507c4ef1",
        ),
        (
            f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="{_NONCE_7616}"',
            "Circle of Life",
            _CNONCE_7616,
            "8ca523f5e9506fed4657c9700eebdbec",
        ),
        (
            f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="{_NONCE_7616}"',
            "Circle of Life",
            _CNONCE_7616,
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
        (
            f'Digest realm="testrealm@host.com", nonce="{_NONCE_2617}"',
            "CircleOfLife",
            "unused",
            "1949323746fe6a43ef61f9606e7febea",
        ),
    ],
)
def test_the_examples_of_the_standards(
    challenge: str, password: str, cnonce: str, response: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda _: cnonce)
    assert f'response="{response}"' in header(challenge, password)


def test_basic_speaks_utf_8() -> None:
    assert header('Basic realm="a"', "pä:ss", user="cam") == "Basic Y2FtOnDDpDpzcw=="


def test_the_strongest_comes_first_and_the_unknown_not_at_all() -> None:
    offered = challenges(
        [
            'Basic realm="a", Digest realm="a", nonce="1", algorithm=MD5',
            'Digest realm="a", nonce="2", algorithm=SHA-256',
            'Digest realm="a", nonce="3", algorithm=SHA-512-256',
            'Digest realm="a", nonce="4", qop="auth-int"',
            'Digest realm="no nonce"',
            'Negotiate abc=="',
        ]
    )
    assert [(c.scheme, c.algorithm if c.scheme == "digest" else "") for c in offered] == [
        ("digest", "SHA-256"),
        ("digest", "MD5"),
        ("basic", ""),
    ]
    assert challenges(["Negotiate"]) == []


def test_the_count_grows_and_starts_anew_with_a_nonce() -> None:
    credentials = Credentials(user="a", password="b")
    assert credentials.header("PLAY", "u") is None
    credentials.accept(challenges(['Digest realm="r", nonce="1", qop=auth'])[0])
    counts = [re.search(r"nc=(\d+)", credentials.header("PLAY", "u") or "") for _ in range(2)]
    assert [count and count[1] for count in counts] == ["00000001", "00000002"]
    credentials.accept(challenges(['Digest realm="r", nonce="2", qop=auth, stale=TRUE'])[0])
    assert "nc=00000001" in (credentials.header("PLAY", "u") or "")


def test_a_quote_in_the_name_does_not_end_the_field() -> None:
    text = header('Digest realm="a \\"b\\"", nonce="n"', "x", user='ca"m')
    assert 'username="ca\\"m"' in text
    assert 'realm="a \\"b\\""' in text
