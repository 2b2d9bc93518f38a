from __future__ import annotations

import base64

import pytest
from pydantic import SecretStr

from detector.api.auth import SESSION_S, Authorizer
from support.api import RunningApi, StartApi

TOKEN = "correct-horse"
PRIVATE = [
    ("GET", "/metrics"), ("GET", "/api/version"), ("GET", "/api/status"), ("GET", "/api/config"),
    ("PUT", "/api/config"), ("GET", "/api/config/schema"), ("GET", "/api/events"), ("GET", "/api/events/1.5-a"),
    ("GET", "/api/events/1.5-a/snapshot.jpg"), ("GET", "/api/cameras/porch/latest.jpg"),
    ("GET", "/api/cameras/porch/stream.mjpg"), ("POST", "/api/alarm"), ("POST", "/api/cameras/porch/detect"),
    ("GET", "/openapi.json"), ("GET", "/api/nothing"), ("HEAD", "/api/status"),
]  # fmt: skip


def headers(authorizer: Authorizer, **given: str) -> bool:
    return authorizer.allows({name.replace("_", "-").encode(): value.encode() for name, value in given.items()})


@pytest.mark.parametrize(("method", "path"), PRIVATE)
def test_every_private_route_asks_for_the_token(locked: RunningApi, method: str, path: str) -> None:
    client = locked.client
    answer = client.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    if method != "HEAD":
        assert "token is required" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/", "/docs", "/page/app.js", "/api/session"])
def test_health_and_pages_need_no_token(locked: RunningApi, path: str) -> None:
    assert locked.client.get(path).status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": f"bearer  {TOKEN}"},
        {"X-API-Key": TOKEN},
        {"Authorization": "Basic " + base64.b64encode(f"any:{TOKEN}".encode()).decode()},
        {"Authorization": "Basic " + base64.b64encode(b"of:a-proxy").decode(), "X-API-Key": TOKEN},
    ],
)
def test_the_token_is_taken_however_it_is_sent(locked: RunningApi, given: dict[str, str]) -> None:
    assert locked.client.get("/api/version", headers=given).status_code == 200


@pytest.mark.parametrize(
    "wrong", [TOKEN[:-1], TOKEN + "x", TOKEN.upper(), TOKEN + " x", "\xe9" * 13, "correct-horsf", "*", "a" * 9000]
)
def test_similar_tokens_are_wrong(locked: RunningApi, wrong: str) -> None:
    client = locked.client
    for given in ({b"Authorization": f"Bearer {wrong}".encode()}, {b"X-API-Key": wrong.encode()}):
        assert client.get("/api/version", headers=given).status_code == 401
    basic = base64.b64encode(b"u:" + wrong.encode()).decode()
    assert client.get("/api/version", headers={"Authorization": f"Basic {basic}"}).status_code == 401


@pytest.mark.parametrize("header", ["Basic !!!", "Basic", "Bearer", "Bearer\tx", f"Digest {TOKEN}", TOKEN])
def test_odd_authorization_headers_are_wrong_not_fatal(locked: RunningApi, header: str) -> None:
    assert locked.client.get("/api/version", headers={"Authorization": header}).status_code == 401


def test_the_token_is_not_taken_from_the_address(locked: RunningApi) -> None:
    assert locked.client.get("/api/version", params={"token": TOKEN}).status_code == 401


def test_a_token_may_hold_any_characters() -> None:
    token = "pässwört-✓-long"
    authorizer = Authorizer(SecretStr(token))
    assert headers(authorizer, x_api_key=token)
    assert not headers(authorizer, x_api_key=token[:-1])


def test_without_a_token_everybody_may_look(free: RunningApi) -> None:
    client = free.client
    assert client.get("/api/status").status_code == 200
    assert client.get("/api/session").json() == {"required": False, "signed_in": True}


def test_the_token_buys_a_session_that_scripts_cannot_read(window: StartApi) -> None:
    opened = window(token=TOKEN)
    assert opened.client.post("/api/session", json={"token": "wrong-horse"}).status_code == 401
    assert not opened.client.cookies
    answer = opened.client.post("/api/session", json={"token": TOKEN})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    assert opened.client.get("/api/status").status_code == 200
    assert opened.client.get("/api/session").json() == {"required": True, "signed_in": True}
    assert opened.client.delete("/api/session").status_code == 204
    assert opened.client.get("/api/status").status_code == 401
    assert opened.client.get("/api/session").json() == {"required": True, "signed_in": False}


def test_a_session_ends_with_time_and_with_the_token() -> None:
    now = 1_000_000.0
    authorizer = Authorizer(SecretStr(TOKEN), now=lambda: now)
    cookie = f"a=b; {authorizer.cookie}={authorizer.new_session()}"
    assert headers(authorizer, cookie=cookie)
    assert headers(Authorizer(SecretStr(TOKEN), now=lambda: now), cookie=cookie), "a restart ended the session"
    assert not headers(Authorizer(SecretStr("another-horse"), now=lambda: now), cookie=cookie)
    now += SESSION_S + 1
    assert not headers(authorizer, cookie=cookie)


@pytest.mark.parametrize("forged", ["", "9999999999.", "9999999999.00ff", ".", "x.y", "9999999999.é", '"'])
def test_a_forged_session_is_wrong(forged: str) -> None:
    authorizer = Authorizer(SecretStr(TOKEN))
    assert not headers(authorizer, cookie=f"{authorizer.cookie}={forged}")


def test_a_moved_expiry_is_wrong() -> None:
    authorizer = Authorizer(SecretStr(TOKEN))
    expiry, signature = authorizer.new_session().split(".")
    assert not headers(authorizer, cookie=f"{authorizer.cookie}={int(expiry) + 1}.{signature}")
