"""The review in a real browser: filters, pages, keys, the path, deletion, nobody is here, the export."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.api import RunningApi, StartApi
from support.browser import Look, Page, needs_browser
from support.control import MemoryControl, event

pytestmark = needs_browser
ROWS = "document.querySelectorAll('.review-row').length"
PATH = [[t / 2, 0.1 + 0.05 * t, 0.4, 0.2 + 0.05 * t, 0.8, 0.9] for t in range(6)]


def noon() -> float:
    """Noon of today, local time: neither neighbour of a visit's is on another day."""
    now = time.localtime()
    return time.mktime((now.tm_year, now.tm_mon, now.tm_mday, 12, 0, 0, 0, 0, -1))


def filled(count: int = 60) -> MemoryControl:
    """`count` visits around noon, the newest first, every second with an alert; ten of the day before."""
    control = MemoryControl()
    visits = [
        event(
            n,
            start=noon() - 30 * n,
            camera="drive" if n % 3 == 0 else "porch",
            entered_zones=["gate"] if n % 4 == 0 else ["garden"],
            alerts=[{"id": "a", "zones": ["garden"]}] if n % 2 else [],
            why="" if n % 2 else "outside garden",
            path=PATH,
            frame_size=[640, 360],
        )
        for n in range(count)
    ]
    control.history = [*visits, *(event(500 + n, start=noon() - 86_400 - n) for n in range(10))]
    return control


@pytest.fixture
def review(window: StartApi, look: Look) -> tuple[RunningApi, Page]:
    opened = window(control=filled())
    page = look(f"{opened.server.url}#/review", width=1200, height=1000)
    page.until(f"{ROWS} === 50")
    return opened, page


def choose(page: Page, field: str, value: str) -> None:
    page.run(
        f"(() => {{ const f = document.querySelector('#{field}'); f.value = '{value}';"
        " f.dispatchEvent(new Event('change')); })()"
    )


def press(page: Page, key: str) -> None:
    page.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key if len(key) == 1 else "")
    page.call("Input.dispatchKeyEvent", type="keyUp", key=key)


def button(page: Page, text: str) -> None:
    page.run(f"[...document.querySelectorAll('#view-review button')].find(b => b.textContent === {text!r}).click()")


def test_a_day_is_read_in_pages_and_the_days_are_turned(review: tuple[RunningApi, Page]) -> None:
    _, page = review
    assert "50 visits so far" in page.text("#view-review")
    button(page, "Older visits")
    page.until(f"{ROWS} === 60")
    ids = page.run("[...document.querySelectorAll('.review-list li')].map(row => row.dataset.id)")
    assert len(set(ids)) == 60
    button(page, "Day before")
    page.until(f"{ROWS} === 10")
    button(page, "Day after")
    page.until(f"{ROWS} === 50")
    assert page.complaints() == []


def test_filters_choose_and_the_export_takes_them(review: tuple[RunningApi, Page]) -> None:
    opened, page = review
    choose(page, "review-camera", "drive")
    page.until(f"{ROWS} === 20")
    choose(page, "review-alerted", "true")
    page.until(f"{ROWS} === 10")
    assert "No alert" not in page.text(".review-list")
    assert "Alert: in garden" in page.text(".review-list")
    link = page.run("document.querySelector('.filters a').getAttribute('href')")
    answer = opened.client.get(f"/{link}")
    assert answer.status_code == 200
    assert answer.content.count(b".json") == 20, "ten files, each named twice in a zip"
    choose(page, "review-alerted", "")
    choose(page, "review-zone", "gate")
    page.until(f"{ROWS} === 5")
    choose(page, "review-day", "2001-01-01")
    page.until("document.querySelector('#view-review').innerText.includes('No visits match.')")
    assert page.run("document.querySelector('.filters a').hidden")


def test_keys_turn_from_visit_to_visit_and_over_the_pages_end(review: tuple[RunningApi, Page]) -> None:
    opened, page = review
    page.run("document.querySelector('.review-row').focus()")
    for _ in range(2):
        press(page, "ArrowDown")
        time.sleep(0.2)
    expected = opened.control.history[1]["id"]
    page.until(f"document.querySelector('[aria-current=true].review-row').closest('li').dataset.id === {expected!r}")
    page.run("document.querySelector('.review-list li:last-child .review-row').click()")
    page.until("!document.querySelector('.review-detail').hidden")
    press(page, "j")
    page.until(f"{ROWS} === 60")
    later = opened.control.history[50]["id"]
    page.until(f"document.querySelector('[aria-current=true].review-row').closest('li').dataset.id === {later!r}")
    press(page, "k")
    before = opened.control.history[49]["id"]
    page.until(f"document.querySelector('[aria-current=true].review-row').closest('li').dataset.id === {before!r}")


def test_a_visit_shows_its_path_its_zones_and_why(review: tuple[RunningApi, Page]) -> None:
    opened, page = review
    opened.control.document["cameras"]["drive"]["zones"] = {"gate": [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]}
    page.click(".review-row")
    page.until("document.querySelector('.path-picture img').naturalWidth === 640")
    page.until("document.querySelectorAll('.path-picture .zone').length === 1")
    points = page.run("document.querySelector('.path-picture .path').getAttribute('points')").split()
    assert len(points) == len(PATH)
    assert [float(value) for value in points[0].split(",")] == pytest.approx([150, 800])
    assert page.run("document.querySelectorAll('.path-picture .box').length") == 2
    detail = page.text(".review-detail")
    for words in ("drive,", "No alert: outside garden", "93 %", "gate", "13 s"):
        assert words in detail
    second = opened.control.history[1]["id"]
    page.run(f"location.hash = '#/review/{second}'")
    page.until("document.querySelector('.why').textContent === 'Alert: in garden'")


def test_a_visit_is_deleted_after_a_second_press(review: tuple[RunningApi, Page]) -> None:
    opened, page = review
    gone = opened.control.history[0]["id"]
    page.click(".review-row")
    page.until("!document.querySelector('.review-detail').hidden")
    button(page, "Delete")
    assert opened.control.history[0]["id"] == gone, "one press deletes nothing"
    button(page, "Delete for good: press again")
    page.until("document.querySelector('#view-review .message').textContent === 'The visit was deleted.'")
    assert opened.control.event(gone) is None
    page.until(
        f"document.querySelector('[aria-current=true].review-row').closest('li').dataset.id === {opened.control.history[0]['id']!r}"
    )


def test_nobody_is_here_and_what_fails_says_so(review: tuple[RunningApi, Page]) -> None:
    opened, page = review
    page.click(".review-row")
    page.until("!document.querySelector('.review-detail').hidden")
    button(page, "Nobody is here")
    page.until("document.querySelector('#view-review .message').textContent.startsWith('Marked:')")
    assert opened.control.suppressed[0]["id"] == opened.control.history[0]["id"]
    opened.control.history.clear()
    button(page, "Nobody is here")
    page.until("document.querySelector('#view-review .message.bad').textContent.includes('no such visit')")


def test_the_clip_plays_in_the_viewer(review: tuple[RunningApi, Page], tmp_path: Path) -> None:
    opened, page = review
    opened.control.history[0]["has_clip"] = True
    page.click(".review-row")
    page.until("!document.querySelector('.review-detail').hidden")
    button(page, "Play the clip")
    page.until("document.querySelector('#viewer').open")
    assert page.run("document.querySelector('#viewer video').src").endswith("/clip.mp4")


def test_nothing_sticks_out_and_everything_has_a_name(review: tuple[RunningApi, Page]) -> None:
    _, page = review
    page.click(".review-row")
    page.until("!document.querySelector('.review-detail').hidden")
    for width in (320, 390, 768, 1100, 1600):
        page.resize(width)
        assert page.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0, width
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "combobox", "link", "Date")
    usable = [n for n in nodes if n.get("role", {}).get("value") in roles and not n["ignored"]]
    assert len(usable) > 60
    assert [n for n in usable if not n["name"]["value"].strip()] == []
