"""The page and the API under a path of another server, as a reverse proxy or Home Assistant's ingress serves them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from detector.api.forwarded import Forwarded, ForwardedReader
from support.api import TOKEN, RunningApi, StartApi
from support.browser import SHOWN, Look, needs_browser
from support.control import event
from support.proxy import proxy

SAID = {"x-forwarded-prefix": "/detector", "x-forwarded-host": "cam.example", "x-forwarded-proto": "https"}


def read(path: str, client: str | None = "127.0.0.1", *, reader: ForwardedReader | None = None, **given: str) -> Any:
    scope = {"path": path, "scheme": "http", "client": client and (client, 40000)}
    headers = {name.replace("_", "-").encode(): value.encode() for name, value in given.items()}
    return (reader or ForwardedReader()).read(scope, headers)


@pytest.mark.parametrize(
    ("client", "trusted", "believed"),
    [
        ("127.0.0.1", [], True), ("127.9.9.9", [], True), ("::1", [], True), ("::ffff:127.0.0.1", [], True),
        ("10.0.0.2", [], False), ("10.0.0.2", ["10.0.0.2"], True), ("10.0.0.3", ["10.0.0.2"], False),
        ("172.30.33.1", ["172.30.32.0/23"], True), ("::ffff:10.0.0.2", ["10.0.0.2"], True),
        ("fe80::1%eth0", ["fe80::/10"], True), ("fe80::1%eth0", [], False), (None, [], False),
    ],
)  # fmt: skip
def test_only_a_trusted_peer_is_believed(client: str | None, trusted: list[str], believed: bool) -> None:
    found = read("/x", client, reader=ForwardedReader(trusted=trusted), **SAID)
    assert found == (
        Forwarded("/x", prefix="/detector", host="cam.example", https=True) if believed else Forwarded("/x")
    )


@pytest.mark.parametrize(
    ("path", "prefix", "left", "kept"),
    [
        ("/api/status", "/detector", "/api/status", "/detector"),
        ("/detector/api/status", "/detector/", "/api/status", "/detector"),
        ("/detector", "/detector", "", "/detector"),
        ("/detectors/x", "/detector", "/detectors/x", "/detector"),
        ("/api/hassio_ingress/aB_9-x/docs", "/api/hassio_ingress/aB_9-x", "/docs", "/api/hassio_ingress/aB_9-x"),
        ("/api/status", "/api", "/api/status", "/api"),
        *(("/x", bad, "/x", "") for bad in (
            "", "/", "detector", "//evil.example", "/a//b", "/..", "/a/../b", "/.", "/a;b", "/a b", "/a, /b", "/ä", '/a"',
            "/a\r\nX: y", "https://evil.example/", "/" + "a" * 300, "/a?b", "/a%2fb", "/\\evil",
        )),
    ],
)  # fmt: skip
def test_a_prefix_is_a_plain_path_or_nothing(path: str, prefix: str, left: str, kept: str) -> None:
    assert read(path, x_forwarded_prefix=prefix) == Forwarded(left, prefix=kept)


def test_ingress_comes_before_a_prefix() -> None:
    found = read("/", x_ingress_path="/api/hassio_ingress/t", x_forwarded_prefix="/other")
    assert found == Forwarded("/", prefix="/api/hassio_ingress/t", ingress=True)


@pytest.mark.parametrize("host", ["a/b", "a b", "", "evil\r\nX", "a@b", "x" * 300])
def test_a_host_that_is_none_is_ignored(host: str) -> None:
    assert read("/", x_forwarded_host=host).host is None


def test_the_path_of_public_url_is_a_prefix_from_whomever_it_comes() -> None:
    reader = ForwardedReader(public_url="https://Cam.example:8443/detector/")
    assert reader.public_host == "cam.example:8443"
    assert read("/detector/docs", "10.0.0.9", reader=reader) == Forwarded("/docs", prefix="/detector")
    assert read("/docs", "10.0.0.9", reader=reader) == Forwarded("/docs"), "asked for directly it is at /"


def test_the_description_names_where_its_paths_begin(free: RunningApi) -> None:
    assert free.client.get("/openapi.json").json()["servers"] == [{"url": "."}]
    prefixed = free.client.get("/openapi.json", headers={"X-Forwarded-Prefix": "/detector"}).json()
    assert prefixed["servers"] == [{"url": "/detector"}]
    assert free.client.get("/openapi.json").json()["servers"] == [{"url": "."}], "one request's prefix is no other's"


def test_no_redirect_leaves_the_prefix(free: RunningApi) -> None:
    answer = free.client.get("/docs/", headers={"X-Forwarded-Prefix": "/detector"})
    assert (answer.status_code, answer.headers["location"]) == (307, "../docs")
    answer = free.client.get("/detector", headers={"X-Forwarded-Prefix": "/detector"})
    assert (answer.status_code, answer.headers["location"]) == (307, "/detector/")
    for path in ("/api/status/", "/api/events/", "/nothing/"):
        assert free.client.get(path).status_code == 404, path


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "Path=/; HttpOnly; SameSite=Strict"),
        ({"X-Forwarded-Prefix": "/detector"}, "Path=/detector/; HttpOnly; SameSite=Strict"),
        ({"X-Forwarded-Proto": "https"}, "Path=/; HttpOnly; SameSite=Strict; Secure"),
    ],
)
def test_the_cookie_is_for_where_the_page_is(locked: RunningApi, given: dict[str, str], words: str) -> None:
    with locked.client.stream("POST", "/api/session", json={"token": TOKEN}, headers=given) as answer:
        assert answer.headers["set-cookie"].endswith(f"; {words}")
    ended = locked.client.delete("/api/session", headers=given).headers.get_list("set-cookie")
    assert ended[0].endswith(f"=; Max-Age=0; {words}")
    assert ended[-1].partition("; Path=")[2].startswith("/;"), "a cookie of before the prefix ends, too"
    locked.client.cookies.clear()


def test_a_proxy_that_changes_host_does_not_make_its_page_a_foreign_one(window: StartApi) -> None:
    opened = window(public_url="https://cam.example/detector/")
    command = {"command": "DISARM"}
    for given, status in (
        ({"Origin": "https://cam.example"}, 200),
        ({"Origin": "https://other.example", "X-Forwarded-Host": "other.example"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "https://evil.example", "X-Forwarded-Host": "cam.example"}, 403),
    ):
        assert opened.client.post("/api/alarm", json=command, headers=given).status_code == status, given
    assert opened.client.get("/api/status", headers={"Host": "cam.example"}).status_code == 200
    assert opened.client.get("/api/status", headers={"Host": "evil.example"}).status_code == 403


@needs_browser
@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ({}, {}),
        ({}, {"added": {"X-Forwarded-Prefix": "/detector"}}),
        ({}, {"added": {"X-Ingress-Path": "/detector"}, "strip": False}),
        ({"public_url": "http://127.0.0.1/detector/"}, {"strip": False}),
    ],
    ids=["strips", "strips-and-says-so", "ingress-unstripped", "unstripped-by-public-url"],
)
def test_u2_the_page_works_under_a_path(
    window: StartApi, look: Look, settings: dict[str, Any], how: dict[str, Any]
) -> None:
    opened = window(token=TOKEN, **settings)
    with proxy(opened.server.port, "/detector", **how) as port:
        base = f"http://127.0.0.1:{port}/detector/"
        page = look(base)
        page.until("document.querySelector('#sign-in').open")
        asked = page.complaints()
        page.run(f"document.querySelector('#token').value = {TOKEN!r}")
        page.click("#sign-in .primary")
        page.until(f"{SHOWN} === 2")
        page.until("[...document.querySelectorAll('.thumb img')].filter(i => i.naturalWidth === 640).length === 5")
        opened.control.cameras["drive"]["people"] = 2
        opened.control.history.insert(0, event(77, start=time.time(), end_time=None, camera="drive"))
        page.until("document.querySelector('.visit.now .thumb img').naturalWidth === 640", timeout=30)
        page.click("[data-command=DISARM]")
        page.until("document.querySelector('[aria-pressed=true]')?.dataset.command === 'DISARM'")
        page.click(".card .picture")
        page.until("document.querySelector('#viewer img').naturalWidth === 640")
        loaded = page.run("performance.getEntriesByType('resource').map(entry => entry.name)")
        assert len(loaded) > 10
        assert [name for name in loaded if not name.startswith((base, f"blob:http://127.0.0.1:{port}/"))] == []
        assert [text for text in page.complaints() if text not in asked] == []
        page.click("#viewer .close")
        page.click("footer a")
        page.until("document.querySelectorAll('details').length >= 18")
        assert page.run("location.pathname") == "/detector/docs"
        page.click(".top p a")
        page.until(f"{SHOWN} === 2")
