"""The page as a panel of another page, such as Home Assistant's dashboard: who may show it, and whether it works there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from detector.api.security_headers import SecurityHeaders
from support.api import TOKEN, StartApi
from support.browser import SHOWN, Look, Page, PageFrame, needs_browser
from support.proxy import proxy


class Dashboard:
    """Another server, whose page at `url` shows `frame` once it is set."""

    def __init__(self, pages: dict[str, str], port: int) -> None:
        self._pages = pages
        self.origin = f"http://127.0.0.1:{port}"
        self.url = f"{self.origin}/"

    def show(self, frame: str) -> None:
        self._pages["/"] = f'<!doctype html><iframe src="{frame}" width="1000" height="800"></iframe>'


@pytest.fixture
def dashboard() -> Iterator[Dashboard]:
    pages: dict[str, str] = {}
    with proxy(1, "/nothing", pages=pages) as port:
        yield Dashboard(pages, port)


def sign_in(frame: PageFrame) -> None:
    frame.until("document.querySelector('#sign-in').open")
    frame.run(f"document.querySelector('#token').value = {TOKEN!r}")
    frame.click("#sign-in .primary")


def works(page: Page) -> None:
    page.until(f"{SHOWN} === 2")
    page.click("[data-command=DISARM]")
    page.until("document.querySelector('[aria-pressed=true]')?.dataset.command === 'DISARM'")


@pytest.mark.parametrize(
    ("allowed", "ingress", "policy", "options"),
    [
        ([], False, "'none'", "DENY"),
        (["http://ha:8123"], False, "http://ha:8123", None),
        (["http://ha:8123", "https://ha.example"], False, "http://ha:8123 https://ha.example", None),
        ([], True, "'self'", "SAMEORIGIN"),
        (["http://ha:8123"], True, "'self' http://ha:8123", None),
    ],
)
def test_the_headers_name_who_may_show_the_page(
    allowed: Sequence[str], ingress: bool, policy: str, options: str | None
) -> None:
    headers = dict(SecurityHeaders(allowed).of(ingress=ingress))
    assert headers[b"content-security-policy"].decode().endswith(f"; frame-ancestors {policy}")
    assert headers.get(b"x-frame-options") == (options.encode() if options else None)


def test_a_cookie_for_other_sites_frames_needs_https(window: StartApi) -> None:
    opened = window(token=TOKEN, frame_ancestors=["https://ha.example"])
    for given, end in (
        ({}, "; HttpOnly; SameSite=Strict"),
        ({"X-Forwarded-Proto": "https"}, "; HttpOnly; SameSite=None; Secure; Partitioned"),
    ):
        answer = opened.client.post("/api/session", json={"token": TOKEN}, headers=given)
        assert answer.headers["set-cookie"].endswith(end)


@needs_browser
def test_u1_a_page_that_is_not_listed_cannot_show_it(window: StartApi, look: Look, dashboard: Dashboard) -> None:
    opened = window(frame_ancestors=["http://ha.example"])
    dashboard.show(opened.server.url)
    page = look(dashboard.url)
    page.until("document.querySelector('iframe')")
    page.frame().until("location.protocol === 'chrome-error:'")
    assert any("frame-ancestors http://ha.example" in text for text in page.complaints())
    assert opened.control.encoded == 0


@needs_browser
def test_u1_a_listed_page_shows_it_and_the_token_is_kept(window: StartApi, look: Look, dashboard: Dashboard) -> None:
    opened = window(token=TOKEN, frame_ancestors=[dashboard.origin])
    dashboard.show(opened.server.url)  # 127.0.0.1, too: for a cookie one site, whatever the port
    page = look(dashboard.url)
    page.until("document.querySelector('iframe')")
    frame = page.frame()
    sign_in(frame)
    works(frame)
    page.call("Page.reload")
    frame.until(f"{SHOWN} === 2")


@needs_browser
def test_u1_on_another_site_https_keeps_the_token(window: StartApi, look: Look, dashboard: Dashboard) -> None:
    opened = window(token=TOKEN, frame_ancestors=[dashboard.origin])
    # Browsers take localhost for secure, as if TLS were there.
    with proxy(opened.server.port, added={"X-Forwarded-Proto": "https"}) as port:
        dashboard.show(f"http://localhost:{port}/")
        page = look(dashboard.url)
        page.until("document.querySelector('iframe')")
        frame = page.frame()
        sign_in(frame)
        works(frame)


@needs_browser
def test_u1_on_another_site_without_https_it_is_said_what_to_do(
    window: StartApi, look: Look, dashboard: Dashboard
) -> None:
    opened = window(token=TOKEN, frame_ancestors=[dashboard.origin])
    dashboard.show(opened.server.url.replace("127.0.0.1", "localhost"))
    page = look(dashboard.url)
    page.until("document.querySelector('iframe')")
    frame = page.frame()
    sign_in(frame)
    frame.until("document.querySelector('#sign-in .error').textContent.includes('does not keep cookies')")
    assert frame.text("#sign-in .error a") == "Open the page by itself"


@needs_browser
def test_u1_home_assistants_ingress_needs_no_list(window: StartApi, look: Look) -> None:
    opened = window(token=TOKEN)
    pages = {"/": '<!doctype html><iframe src="/api/ingress/t/" width="1000" height="800"></iframe>'}
    added = {"X-Ingress-Path": "/api/ingress/t"}
    with proxy(opened.server.port, "/api/ingress/t", added=added, pages=pages) as port:
        page = look(f"http://127.0.0.1:{port}/")
        page.until("document.querySelector('iframe')")
        frame = page.frame()
        sign_in(frame)
        works(frame)
