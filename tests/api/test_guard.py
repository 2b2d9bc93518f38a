from __future__ import annotations

import asyncio
import socket

import pytest
from starlette.types import Message, Receive, Scope, Send

from detector.api import guard
from detector.api.auth import Authorizer
from detector.api.forwarded import ForwardedReader
from detector.api.guard import MAX_BODY, is_foreign, is_local_host
from detector.api.security_headers import SecurityHeaders
from detector.api.signed_links import SignedLinks
from support.api import RunningApi, StartApi

TOKEN = "correct-horse"


def talk(address: tuple[str, int], data: bytes) -> bytes:
    """Everything that the server says to `data` before it closes."""
    with socket.create_connection(address, timeout=20) as sock:
        sock.sendall(data)
        said = b""
        while chunk := sock.recv(65536):
            said += chunk
        return said


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "10.0.0.5", "localhost:80", "jetson", "jetson.local:8080",
     "Detector.LAN", "cam.home.arpa", "detector.local."],
)  # fmt: skip
def test_own_names(host: str) -> None:
    assert is_local_host(host)


@pytest.mark.parametrize(
    "host", ["evil.example.com", "jetson.evil.com:8080", "127.0.0.1.evil.com", "", "[", "local.com"]
)
def test_names_that_anybody_may_own(host: str) -> None:
    assert not is_local_host(host)


def test_a_rebound_name_reaches_nothing_without_a_token(free: RunningApi) -> None:
    client = free.client
    for path in ("/", "/api/status", "/api/cameras/porch/latest.jpg"):
        assert client.get(path, headers={"Host": "evil.example.com"}).status_code == 403
    answer = client.post("/api/alarm", json={"command": "DISARM"}, headers={"Host": "evil.example.com:8080"})
    assert answer.status_code == 403


def test_with_a_token_any_name_will_do_for_a_proxy(locked: RunningApi) -> None:
    client = locked.client
    given = {"Host": "cams.example.com", "X-API-Key": TOKEN}
    assert client.get("/api/version", headers=given).status_code == 200
    assert client.get("/api/version", headers={"Host": "cams.example.com"}).status_code == 401


@pytest.mark.parametrize(
    ("given", "method", "foreign"),
    [
        ({}, "POST", False),
        ({"host": "h:1", "origin": "http://h:1"}, "POST", False),
        ({"host": "h:1", "origin": "https://H:1"}, "POST", False),
        ({"host": "h:1", "origin": "http://h:2"}, "POST", True),
        ({"host": "h:1", "origin": "null"}, "POST", True),
        ({"host": "h:1", "origin": "http://["}, "POST", True),
        ({"host": "h:1", "origin": "http://evil", "sec-fetch-site": "same-origin"}, "POST", False),
        ({"sec-fetch-site": "none"}, "POST", False),
        ({"sec-fetch-site": "cross-site"}, "POST", True),
        ({"sec-fetch-site": "same-site"}, "DELETE", True),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, "GET", True),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "GET", False),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "POST", True),
        ({"host": "h:1", "origin": "http://evil"}, "GET", False),
    ],
)
def test_foreign(given: dict[str, str], method: str, foreign: bool) -> None:
    assert is_foreign({k.encode(): v.encode() for k, v in given.items()}, method=method) is foreign


def test_another_sites_page_cannot_disarm(window: StartApi) -> None:
    opened = window()
    for given in ({"Origin": "http://evil.example.com"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = opened.client.post("/api/alarm", json={"command": "DISARM"}, headers=given)
        assert answer.status_code == 403
    form = opened.client.post("/api/alarm", data={"command": "DISARM"})
    assert form.status_code == 415
    plain = opened.client.post("/api/alarm", content='{"command":"DISARM"}', headers={"Content-Type": "text/plain"})
    assert plain.status_code == 415
    assert opened.control.alarm == "armed_away"


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/api/status", "/api/nothing", "/api/cameras/porch/latest.jpg", "/docs"]
)
def test_every_answer_is_hardened(free: RunningApi, path: str) -> None:
    answer = free.client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers
    if path.startswith("/api"):
        assert "no-store" in answer.headers["cache-control"]


def test_a_body_past_the_limit_is_refused(window: StartApi) -> None:
    opened = window()
    head = {"Content-Type": "application/json", "If-Match": "*"}
    answer = opened.client.put("/api/config", content=b" " * (MAX_BODY + 1), headers=head)
    assert answer.status_code == 413
    assert "1 MiB" in answer.json()["error"]
    at_limit = opened.client.put("/api/config", content=b"{}".ljust(MAX_BODY), headers=head)
    assert at_limit.status_code == 422
    # Chunked: no length told beforehand.
    chunks = (b" " * 65536 for _ in range(40))
    assert opened.client.put("/api/config", content=chunks, headers=head).status_code == 413
    assert opened.client.get("/healthz").status_code == 200


def test_a_huge_announced_body_is_refused_unread(free: RunningApi) -> None:
    opened = free
    request = (
        b"PUT /api/config HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nContent-Length: 999999999999\r\n\r\n"
    )
    assert talk(opened.address, request).startswith(b"HTTP/1.1 413")


def test_a_body_that_never_comes_is_given_up(free: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_S", 0.2)
    request = (
        b"POST /api/alarm HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    )
    assert talk(free.address, request).startswith(b"HTTP/1.1 408")


def test_half_a_body_is_never_acted_on(window: StartApi, caplog: pytest.LogCaptureFixture) -> None:
    opened = window()
    before = opened.client.get("/api/config").json()
    whole = b"cameras: {shed: {source: usb://0}}\n# the rest got lost"
    request = (
        b"PUT /api/config HTTP/1.1\r\nHost: localhost\r\nIf-Match: *\r\nContent-Type: application/yaml\r\n"
        b"Content-Length: " + str(len(whole)).encode() + b"\r\n\r\n"
    )
    with socket.create_connection(opened.address, timeout=20) as sock:
        sock.sendall(request + whole[:36])
        sock.shutdown(socket.SHUT_WR)
        said = sock.recv(4096)
    assert b" 200 " not in said
    assert opened.client.get("/api/config").json() == before
    assert not caplog.records


def test_an_unauthorised_body_is_not_even_read(locked: RunningApi) -> None:
    request = b"PUT /api/config HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n"
    assert talk(locked.address, request).startswith(b"HTTP/1.1 401")


def test_an_unforeseen_failure_is_a_plain_500(window: StartApi, caplog: pytest.LogCaptureFixture) -> None:
    opened = window()
    opened.control.failure = RuntimeError("rtsp://cam:hunter2@10.0.0.4 broke")
    answer = opened.client.get("/api/status")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert answer.json()["error"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "failed to answer /api/status" in caplog.text


def test_anything_but_http_passes_through() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    guarded = guard.Guard(
        app, authorizer=Authorizer(None), proxies=ForwardedReader(), security=SecurityHeaders(), signed=SignedLinks()
    )
    asyncio.run(guarded({"type": "lifespan"}, receive, send))
    assert seen == ["lifespan"]


def test_a_request_without_a_host_is_an_old_health_check(free: RunningApi) -> None:
    assert b" 200 OK" in talk(free.address, b"GET /healthz HTTP/1.0\r\n\r\n")
