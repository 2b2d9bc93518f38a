"""The operators' page in a real browser: what a person sees, clicks and is told."""

from __future__ import annotations

import re
import time
from importlib import resources

import pytest

from detector.api.control import Document
from support.api import RunningApi, StartApi
from support.browser import SHOWN, Look, needs_browser
from support.control import MemoryControl, camera_status, event, suppression

PAGE = resources.files("detector.api") / "page"


@needs_browser
def test_a_quiet_night(window: StartApi, look: Look) -> None:
    control = MemoryControl()
    for camera in control.cameras.values():
        camera["people"] = 0
    page = look(window(control=control).server.url)
    page.until("document.querySelector('.verdict.good')")
    assert page.text(".headline") == "Everything works. No people in view."
    assert page.run("document.title") == page.text("#device") == "Front yard"
    page.until(f"{SHOWN} === 2")
    page.until("document.querySelectorAll('.visit').length === 5")
    page.until("[...document.querySelectorAll('.thumb img')].every(i => i.naturalWidth === 640)")
    porch = page.text(".card")
    for words in ("porch", "Online", "14.9 /s", "9.8 /s", "60 ms", "41 ms", "88 ms"):
        assert words in porch
    assert "porch, garden · 93 %" in page.text(".visit")
    assert "26.4 ms" in page.text("#facts")
    assert page.text("[aria-pressed=true]") == "Arm away"
    assert page.complaints() == []


@needs_browser
def test_pictures_move(window: StartApi, look: Look) -> None:
    page = look(window().server.url)
    page.until(f"{SHOWN} === 2")
    first = page.run("document.querySelector('.card img').src")
    page.until(f"document.querySelector('.card img').src !== {first!r}")
    assert page.text(".headline") == "2 people in view: porch and drive."


@needs_browser
def test_trouble_is_told_in_plain_words(window: StartApi, look: Look) -> None:
    control = MemoryControl()
    control.cameras["drive"] = camera_status(state="offline", frame_age_s=187.0, people=0, error="no answer within 5 s")
    control.cameras["porch"]["detect_enabled"] = False
    control.overrides = {
        "state": "degraded",
        "problems": ["broker: offline", "the disk is almost full"],
        "broker": {"state": "offline", "address": "mqtt://10.0.0.2:1883", "protocol": None, "error": "refused"},
        "outbox": {"pending_alerts": 3, "pending_events": 0, "oldest_s": 5.0},
        "model": {**control.status()["model"], "state": "failed", "error": "out of memory"},
    }
    page = look(window(control=control).server.url)
    page.until("document.querySelector('.verdict.bad li')")
    told = page.text("#verdict")
    assert told.startswith("5 problems need attention.")
    for words in (
        "drive is offline: people are not detected there. Check the camera's power and network cable",
        "no answer within 5 s",
        "The model failed: people are not detected on any camera.",
        "out of memory",
        "The MQTT broker cannot be reached: alerts are not sent. 3 alerts are waiting on disk and will be sent",
        "Detection is switched off for porch.",
        "the disk is almost full",
    ):
        assert words in told
    assert "broker: offline" not in told, "said twice"
    assert page.run("document.title") == "(5) Front yard"
    assert "No picture for 3 min" in page.text("[data-state=offline]")
    assert page.run("document.querySelector('#verdict').getAttribute('aria-live')") == "polite"


@needs_browser
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alarm": {"state": "triggered"}}, "Alarm: an intruder was detected."),
        ({"alarm": {"state": "disarmed"}}, "Disarmed: visits are recorded, no alerts are sent."),
        ({"state": "starting"}, "The detector is starting."),
        ({"stages": {"inference": {"ok": False, "age_s": 40.0}}}, "The inference stage is not responding."),
        ({"problems": ["the clock is wrong"]}, "the clock is wrong"),
        ({"broker": {"state": "refused", "address": None, "error": None}}, "Check mqtt.username and mqtt.password"),
        ({"system": {"throttled": True, "temperature_c": 91.0}}, "The device is throttled."),
    ],
)  # fmt: skip
def test_states_have_words(window: StartApi, look: Look, changes: Document, words: str) -> None:
    control = MemoryControl()
    control.overrides = changes
    page = look(window(control=control).server.url)
    page.until("document.querySelector('.verdict.good, .verdict.warn, .verdict.bad')")
    assert words in page.text("#verdict")


@needs_browser
def test_the_page_says_why_it_is_armed(window: StartApi, look: Look) -> None:
    control = MemoryControl()
    why = "armed because of the schedule night until 06:30"
    control.overrides = {"alarm": {"state": "armed_home", "because": why, "waits": None, "notes": ["dark: <b>no</b>"]}}
    page = look(window(control=control).server.url)
    page.until("document.querySelector('#alarm-why').textContent")
    assert page.text("#alarm-why") == f"{why}; dark: <b>no</b>"


@needs_browser
def test_the_alarm_and_detection_are_switched_by_a_click(window: StartApi, look: Look) -> None:
    opened = window()
    page = look(opened.server.url)
    page.until("document.querySelector('[data-command=DISARM]:enabled')")
    page.click("[data-command=DISARM]")
    page.until("document.querySelector('[aria-pressed=true]')?.dataset.command === 'DISARM'")
    assert opened.control.alarm == "disarmed"
    page.until("document.querySelector('.headline').textContent.includes('Disarmed')")
    page.click(".card .switch input")
    page.until("document.querySelector('.problems').textContent.includes('Detection is switched off for porch')")
    assert opened.control.cameras["porch"]["detect_enabled"] is False


@needs_browser
def test_a_click_that_fails_says_so(window: StartApi, look: Look) -> None:
    opened = window()
    page = look(opened.server.url)
    page.until("document.querySelector('.card .switch input')")
    del opened.control.cameras["porch"]
    page.click(".card .switch input")
    page.until("document.querySelector('.problems').textContent.includes('Detection on porch was not switched')")


@needs_browser
def test_the_live_view_takes_a_stream_and_gives_it_back(window: StartApi, look: Look) -> None:
    opened = window()
    streams = opened.app.state.streams
    page = look(opened.server.url)
    page.until(f"{SHOWN} === 2")
    page.click(".card .picture")
    page.until("document.querySelector('#viewer').open && document.querySelector('#viewer img').naturalWidth === 640")
    assert streams.open == 1
    page.click("#viewer .close")
    deadline = time.monotonic() + 20
    while streams.open:
        assert time.monotonic() < deadline, "the closed view keeps its stream"
        time.sleep(0.05)


@needs_browser
def test_the_token_is_asked_for_once(window: StartApi, look: Look) -> None:
    opened = window(token="correct-horse")
    page = look(opened.server.url)
    page.until("document.querySelector('#sign-in').open")
    assert page.run("document.querySelectorAll('.card').length") == 0

    def enter(token: str) -> None:
        page.run(f"document.querySelector('#token').value = {token!r}")
        page.click("#sign-in .primary")

    enter("wrong-horse")
    page.until("document.querySelector('#sign-in .error').textContent === 'This is not the token.'")
    enter("correct-horse")
    page.until(f"{SHOWN} === 2")
    page.until("[...document.querySelectorAll('.thumb img')].filter(i => i.naturalWidth === 640).length === 5")
    assert page.run("document.cookie") == "", "a script can read the session"
    page.click("#leave")
    page.until("document.querySelector('#sign-in').open")


@needs_browser
def test_a_lost_detector_is_a_loud_fact(window: StartApi, look: Look) -> None:
    opened = window()
    page = look(opened.server.url)
    page.until(f"{SHOWN} === 2")
    opened.close()
    page.until("document.querySelector('.verdict.bad')", timeout=30)
    assert page.text(".headline") == "No connection to the detector."
    assert "the page reconnects by itself" in page.text("#verdict")
    assert page.run("document.querySelector('[data-command=DISARM]').disabled")
    assert "Online" not in page.text("#cameras"), "nobody knows whether it still does"


@needs_browser
def test_a_detector_that_cannot_tell_is_not_a_lost_one(window: StartApi, look: Look) -> None:
    opened = window()
    opened.control.failure = RuntimeError("broken")
    page = look(opened.server.url)
    page.until("document.querySelector('.verdict.bad')")
    assert page.text(".headline") == "The detector's state cannot be read."


@needs_browser
def test_new_visits_appear_and_old_rows_stay(window: StartApi, look: Look) -> None:
    opened = window()
    page = look(opened.server.url)
    page.until("document.querySelectorAll('.visit').length === 5")
    page.run("document.querySelector('.visit .thumb').focus()")
    kept = page.run("document.activeElement.closest('li').dataset.id")
    opened.control.cameras["drive"]["people"] = 2
    opened.control.history.insert(0, event(77, start=time.time(), end_time=None, camera="drive"))
    page.until("document.querySelectorAll('.visit').length === 6", timeout=30)
    assert "in view now" in page.text(".visit.now")
    assert page.run("document.activeElement.closest('li')?.dataset.id") == kept, "the focus was lost"


@needs_browser
def test_a_visit_is_marked_as_nobody_listed_and_undone(window: StartApi, look: Look) -> None:
    opened = window()
    page = look(opened.server.url)
    page.until("document.querySelectorAll('.visit').length === 5")
    assert page.run("document.querySelector('#suppressions-section').hidden")
    page.click("#visits .nobody")
    page.until("document.querySelectorAll('.suppression').length === 1")
    (made,) = opened.control.suppressed
    assert made["id"] == opened.control.history[0]["id"]
    listed = page.text(".suppression")
    for words in ("porch", "marked as nobody: same place, same size, same look", "1 visit since"):
        assert words in listed
    page.until("document.querySelector('.suppression .thumb img').naturalWidth === 640")
    assert page.run("document.querySelector('.suppression .keep').hidden")
    page.click(".suppression .undo")
    page.until("document.querySelector('#suppressions-section').hidden")
    assert opened.control.suppressed == []
    assert page.complaints() == []


@needs_browser
def test_suppressed_visits_are_shown_as_such_and_what_is_proposed_can_be_kept(window: StartApi, look: Look) -> None:
    control = MemoryControl()
    coat = control.history[0]
    why = {"id": coat["id"], "reason": "same place, same size, never moved", "since": coat["start_time"], "matches": 4}
    coat["suppressed"] = {**why, "asked": False, "proposed": True}
    control.history[1]["suppressed"] = {**why, "reason": "marked as nobody", "asked": True, "proposed": False}
    control.suppressed = [suppression(coat, **why, asked=False, proposed=True)]
    page = look(window(control=control).server.url)
    page.until("document.querySelectorAll('.visit.held').length === 2")
    page.until("document.querySelectorAll('.suppression').length === 1")
    assert "No alert: same place, same size, never moved; visit 4 since" in page.text("#visits .visit")
    assert "Nobody is here: keep it so" in page.text("#visits .visit")
    assert (
        page.run("[...document.querySelectorAll('#visits .nobody')].map(b => b.hidden)") == [False, True] + [False] * 3
    )
    assert "it never moved. Is nobody there?" in page.text(".suppression")
    page.click(".suppression .keep")
    page.until("document.querySelector('.suppression .keep').hidden")
    assert control.suppressed[0]["asked"]


@needs_browser
def test_a_mark_that_fails_says_so(window: StartApi, look: Look) -> None:
    opened = window()
    page = look(opened.server.url)
    page.until("document.querySelectorAll('.visit').length === 5")
    opened.control.history.clear()
    page.click("#visits .nobody")
    page.until(
        "document.querySelector('.problems').textContent.includes('The visit was not marked as nobody: no such visit')"
    )


@needs_browser
def test_what_a_camera_can_see_is_shown_for_each_hour(window: StartApi, look: Look) -> None:
    control = MemoryControl()
    good = {"at": time.time(), "seen": True, "usual": 0.34, "smallest": 0.12, "reason": None, "own_person": True}
    dark = {**good, "seen": False, "smallest": None, "reason": "the picture is dark"}
    control.cameras["porch"]["self_test"] = {**dark, "hours": {"12": good, "4": dark}}
    page = look(window(control=control).server.url)
    page.until("document.querySelectorAll('.sight:not([hidden])').length === 1")
    assert "a person of any size would not be found: the picture is dark" in page.text(".sight.blind summary")
    page.click(".sight summary")
    hours = page.run("[...document.querySelectorAll('.hours li')].map(hour => hour.textContent)")
    assert hours == [
        "04:00 \u2013 a person of any size would not be found: the picture is dark",
        "12:00 \u2013 people from 12 % of the picture's height on are found",
    ]
    assert page.complaints() == []


@needs_browser
def test_hostile_texts_stay_texts(window: StartApi, look: Look) -> None:
    control = MemoryControl()
    bomb = "<img src=x onerror=\"document.title='owned'\">"
    control.history = [event(1, start=1.0, camera=bomb, entered_zones=[bomb])]
    control.overrides = {"problems": [bomb], "device": {"id": "x", "name": bomb}, "version": bomb}
    page = look(window(control=control).server.url)
    page.until("document.querySelectorAll('.visit').length === 1")
    assert bomb in page.text("#device")
    assert page.run("document.querySelectorAll('img[src=x]').length") == 0


@needs_browser
def test_nothing_sticks_out_at_any_width(window: StartApi, look: Look) -> None:
    control = MemoryControl("a-camera-with-a-name-of-32-signs", "p")
    page = look(window(control=control).server.url)
    page.until(f"{SHOWN} >= 1")
    page.until("document.querySelectorAll('.visit').length === 5")
    for width in (320, 390, 768, 1100, 1600):
        page.resize(width)
        assert page.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0, width


@needs_browser
def test_everything_that_can_be_used_has_a_name_and_fits_a_thumb(window: StartApi, look: Look) -> None:
    page = look(window().server.url, width=390, height=800)
    page.until(f"{SHOWN} >= 1")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    usable = [
        n
        for n in nodes
        if n.get("role", {}).get("value") in ("button", "switch", "link", "textbox") and not n["ignored"]
    ]
    assert len(usable) > 10
    assert [n for n in usable if not n["name"]["value"].strip()] == []
    small = page.run(
        "[...document.querySelectorAll('.segments button, .switch, .picture, .thumb, .nobody, footer a')]"
        ".filter(n => n.getBoundingClientRect().height < 44).map(n => n.outerHTML)"
    )
    assert small == []


@needs_browser
def test_the_api_is_explained_without_the_internet(window: StartApi, look: Look) -> None:
    opened = window()
    page = look(f"{opened.server.url}docs")
    page.until("document.querySelectorAll('details').length >= 18")
    page.run("[...document.querySelectorAll('details')].forEach(d => { d.open = true; })")
    text = page.text()
    for words in ("/api/cameras/{camera}/stream.mjpg", '"frame_age_s": number or null', "If-Match", "application/yaml",
                  '"ARM_AWAY" or "ARM_HOME" or "ARM_NIGHT" or "ARM_VACATION" or "DISARM"', "integer"):  # fmt: skip
        assert words in text
    assert page.complaints() == []
    asked = page.run("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert all(name.startswith(opened.server.url) for name in asked)


@needs_browser
def test_the_api_page_leads_to_the_token(window: StartApi, look: Look) -> None:
    page = look(f"{window(token='correct-horse').server.url}docs")
    page.until("document.querySelector('#trouble').textContent.includes('needs the token')")


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance of #rrggbb or #rgb."""
    digits = colour.lstrip("#")
    digits = "".join(c * 2 for c in digits) if len(digits) == 3 else digits
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_can_be_read(scheme: int) -> None:
    blocks = re.findall(r":root \{([^}]*)\}", (PAGE / "style.css").read_text(encoding="utf-8"))
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+);", blocks[scheme]))
    grounds = {
        "text": ["ground", "panel", "good-ground", "warn-ground", "bad-ground"],
        "soft": ["ground", "panel"],
        "accent": ["ground", "panel"],
        "accent-text": ["accent"],
        "good": ["good-ground", "panel"],
        "warn": ["warn-ground", "bad-ground", "panel", "ground"],
        "bad": ["bad-ground", "panel", "ground"],
    }
    for text, under in grounds.items():
        for ground in under:
            light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{text} on {ground}"


def test_the_page_takes_nothing_from_elsewhere_and_has_no_inline_code() -> None:
    for file in PAGE.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, file.name
        assert not re.search(
            r"\son\w+=|javascript:|<style|style=|innerHTML|eval\(|<script(?! type=\"module\" src)", text
        ), file.name


def test_an_asset_that_the_browser_has_is_not_sent_again(free: RunningApi) -> None:
    first = free.client.get("/page/app.js")
    assert first.headers["content-type"].startswith("text/javascript")
    assert free.client.get("/page/app.js", headers={"If-None-Match": first.headers["etag"]}).status_code == 304


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "%2e%2e/app.py", "..%2f..%2fconfig.py"])
def test_there_is_no_way_out_of_the_pages_folder(free: RunningApi, name: str) -> None:
    connection = free.raw()
    connection.request("GET", f"/page/{name}")
    answer = connection.getresponse()
    assert answer.status == 404
    answer.read()
    connection.close()
