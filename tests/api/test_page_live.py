"""Live pictures with boxes, reasons and zones, the large view, the small plots, in a real browser."""

from __future__ import annotations

import json

from support.api import StartApi
from support.browser import Look, Page, needs_browser
from support.control import MemoryControl

pytestmark = needs_browser
ZONE = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.9]]


def zoned() -> MemoryControl:
    control = MemoryControl()
    control.document["cameras"]["porch"].update({"zones": {"garden": ZONE}, "masks": [ZONE]})
    return control


def press(page: Page, selector: str) -> None:
    """A click of the mouse itself: what needs a user's gesture takes nothing less."""
    x, y = page.run(
        f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
        " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def test_a_card_shows_each_box_with_its_reason_and_the_zones(window: StartApi, look: Look) -> None:
    opened = window(control=zoned())
    page = look(opened.server.url)
    page.until("document.querySelectorAll('.card .person').length >= 2")
    assert page.run("document.querySelectorAll('.card .zone').length") == 2
    assert "Person, 87 %: 2 of 3 frames" in page.text(".card .reasons")
    opened.control.reason = "cooldown, 12 s left"
    page.until("document.querySelector('.card .person-name').textContent === 'cooldown, 12 s left'")
    first = page.run("document.querySelector('.card .person').getAttribute('x')")
    page.until(f"document.querySelector('.card .person').getAttribute('x') !== {first!r}")
    assert page.complaints() == []


def test_the_large_view_says_why_how_old_and_goes_full_screen(window: StartApi, look: Look) -> None:
    opened = window(control=zoned())
    page = look(opened.server.url, height=1000)
    page.until("document.querySelector('.card .person')")
    page.click(".card .picture")
    page.until(
        "document.querySelector('#viewer .person') && document.querySelector('#viewer img').naturalWidth === 640"
    )
    assert "boxes=false" in page.run("document.querySelector('#viewer img').src")
    below = page.text("#viewer .below")
    assert "Person, 87 %: 2 of 3 frames" in below
    assert "The picture is 0.1 s old." in below
    image, overlay = (
        page.run(
            f"(() => {{ const b = document.querySelector('#viewer {part}').getBoundingClientRect();"
            " return [b.x, b.y, b.width, b.height].map(Math.round); })()"
        )
        for part in ("img", ".scene")
    )
    assert image == overlay, "the boxes lie on the picture"
    press(page, "#viewer .live-note button")
    page.until("document.fullscreenElement?.className === 'stage'")
    page.run("document.exitFullscreen()")
    page.until("document.fullscreenElement === null")
    page.click("#viewer .close")
    page.until("document.querySelector('#viewer .live-note').hidden")
    assert page.run("document.querySelectorAll('#viewer .person').length") == 0


def test_a_snapshot_in_the_viewer_has_no_boxes_of_now(window: StartApi, look: Look) -> None:
    page = look(window(control=zoned()).server.url)
    page.until("document.querySelector('.visit .thumb img')?.naturalWidth === 640")
    page.click(".visit .thumb")
    page.until("document.querySelector('#viewer').open && document.querySelector('#viewer img').naturalWidth === 640")
    assert page.run("document.querySelectorAll('#viewer .person').length") == 0
    assert page.run("document.querySelector('#viewer .live-note').hidden")


def test_small_plots_of_the_last_hour_and_day(window: StartApi, look: Look) -> None:
    page = look(window().server.url)
    page.until("document.querySelectorAll('.plot-group').length === 3")
    assert page.run("[...document.querySelectorAll('.plot-group h3')].map(h => h.textContent)") == [
        "porch", "drive", "All cameras",
    ]  # fmt: skip
    words = page.text(".plot-group")
    for said in ("Latency: median 44 ms, p99 99 ms; highest 99 ms", "Analysed: a second 9.8 /s", "People: at most 1"):
        assert said in words
    lines = page.run("document.querySelector('.plot-group svg').querySelectorAll('polyline').length")
    assert lines == 3, "the second line has a gap"
    hour = page.text("#plots .quiet")
    page.run(
        "(() => { const s = document.querySelector('#plot-span'); s.value = 'day'; s.dispatchEvent(new Event('change')); })()"
    )
    page.until(f"document.querySelector('#plots .quiet').textContent !== {hour!r}")
    assert page.complaints() == []


def test_nothing_sticks_out_at_any_width(window: StartApi, look: Look) -> None:
    control = zoned()
    control.reason = "too small: 0.012 % of the picture, needs 0.5 % and a long reason that has to be broken somewhere"
    page = look(window(control=control).server.url)
    page.until("document.querySelector('.card .person') && document.querySelector('.plot-group')")
    for width in (320, 390, 768, 1600):
        page.resize(width)
        assert page.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0, width
