"""U4: an alert's picture by its signed address: what a phone's notification can fetch, and nothing else."""

from __future__ import annotations

from http.client import HTTPConnection

import pytest

from detector.core.link_signer import LinkSigner
from support.api import TOKEN, RunningApi, StartApi
from support.browser import Look, needs_browser
from support.proxy import proxy
from support.visits import StillClock

CROSS = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def links(clock: StillClock) -> LinkSigner:
    return LinkSigner(b"k" * 32, lifetime_s=3600, clock=clock)


@pytest.fixture
def opened(window: StartApi, links: LinkSigner) -> RunningApi:
    return window(token=TOKEN, links=links)


def path_of(opened: RunningApi, number: int = 0, file: str = "snapshot.jpg") -> str:
    return f"/api/events/{opened.control.history[number]['id']}/{file}"


def test_u4_a_phone_fetches_the_picture_without_a_header(opened: RunningApi, links: LinkSigner) -> None:
    address = links.sign(path_of(opened))
    connection = HTTPConnection(*opened.address, timeout=20)
    connection.putrequest("GET", address, skip_accept_encoding=True)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.getheader("Content-Type") == "image/jpeg"
    assert answer.read().startswith(b"\xff\xd8")
    connection.close()
    assert opened.client.head(address).status_code == 200
    assert opened.client.get(path_of(opened)).status_code == 401


def test_u4_from_any_site_but_this_address_alone(opened: RunningApi, links: LinkSigner) -> None:
    answer = opened.client.get(links.sign(path_of(opened)), headers=CROSS)
    assert answer.status_code == 200
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    plain = opened.client.get(path_of(opened), headers={**CROSS, "X-API-Key": TOKEN})
    assert plain.status_code == 403
    assert plain.headers["cross-origin-resource-policy"] == "same-origin"


def test_u4_it_opens_nothing_else(opened: RunningApi, links: LinkSigner) -> None:
    address = links.sign(path_of(opened))
    query = address.partition("?")[2]
    assert opened.client.get(f"{path_of(opened, 1)}?{query}").status_code == 403
    for other in (path_of(opened).removesuffix("/snapshot.jpg"), "/api/events", "/api/status", "/api/config", "/metrics",
                  "/api/cameras/porch/latest.jpg", "/openapi.json"):  # fmt: skip
        assert opened.client.get(f"{other}?{query}").status_code == 401, other
    for method in ("POST", "PUT", "DELETE"):
        assert opened.client.request(method, address, json={}).status_code == 401
    for signed in (links.sign("/api/status"), links.sign("/api/events/../status")):
        assert opened.client.get(signed).status_code == 401, "even if it were signed"


@pytest.mark.parametrize("token", [None, TOKEN])
def test_u4_altered_or_expired_is_403_with_one_line(
    window: StartApi, links: LinkSigner, clock: StillClock, token: str | None
) -> None:
    opened = window(token=token, links=links)
    address = links.sign(path_of(opened))
    path, _, query = address.partition("?")
    expires = query.split("&", maxsplit=1)[0]
    for wrong in (f"{address}0", address[:-1], f"{path}?{expires}", f"{path}?{query.split('&')[1]}", f"{path}?signature=",
                  address.replace("expires=1", "expires=2"), f"{path}?expires=x&signature=%ff%00", f"{path}?expires"):  # fmt: skip
        answer = opened.client.get(wrong)
        assert answer.status_code == 403, wrong
        assert answer.json()["error"].startswith("this address was altered")
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    clock.now_mono += 3601
    answer = opened.client.get(address)
    assert (answer.status_code, answer.json()["error"]) == (
        403, "this address has expired: use that of a newer alert, or the token",
    )  # fmt: skip
    assert "\n" not in answer.text


def test_u4_a_picture_that_is_gone_is_404(opened: RunningApi, links: LinkSigner) -> None:
    assert opened.client.get(links.sign("/api/events/1.5-gone/snapshot.jpg")).status_code == 404


def test_u4_under_a_proxys_path_and_name(window: StartApi, links: LinkSigner) -> None:
    opened = window(links=links)
    address = links.sign(path_of(opened))
    given = {"Host": "cam.example", "X-Forwarded-Prefix": "/detector"}
    assert opened.client.get(address, headers=given).status_code == 200
    assert opened.client.get(f"/detector{address}", headers=given).status_code == 200


@needs_browser
def test_u4_another_sites_page_shows_it(opened: RunningApi, links: LinkSigner, look: Look) -> None:
    base = opened.server.url.replace("127.0.0.1", "localhost").rstrip("/")
    good, bad = links.sign(path_of(opened)), path_of(opened, 1)
    html = f'<!doctype html><img id="good" src="{base}{good}"><img id="bad" src="{base}{bad}">'
    with proxy(1, "/nothing", pages={"/": html}) as port:
        page = look(f"http://127.0.0.1:{port}/")
        page.until("document.querySelector('#good').naturalWidth === 640")
        page.until("document.querySelector('#bad').complete")
        assert page.run("document.querySelector('#bad').naturalWidth") == 0
