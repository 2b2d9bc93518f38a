"""The zone editor in a real browser: by mouse, by touch and by keyboard, judged by the history, saved by the API."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from support.api import RunningApi, StartApi
from support.browser import Look, Page, needs_browser
from support.control import MemoryControl

pytestmark = needs_browser
SQUARE = [[0.2, 0.2], [0.6, 0.2], [0.6, 0.6], [0.2, 0.6]]
MASK = [[0.0, 0.0], [0.4, 0.0], [0.4, 0.1], [0.0, 0.1]]
SHAPES = "document.querySelectorAll('#view-zones .drawing .shape').length"


def yard() -> MemoryControl:
    """One camera with a zone and a mask; today's visits stand at 0.1, 0.3, 0.5, 0.7 and 0.9 of its width, feet at 0.5."""
    control = MemoryControl("porch")
    control.document["cameras"]["porch"].update(
        {"zones": {"garden": SQUARE}, "masks": [MASK], "alert": {"zones": ["garden"], "cooldown_s": 7}}
    )
    for n, visit in enumerate(control.history):
        x = 0.1 + 0.2 * n
        visit["start_time"] = time.time() - n - 1
        visit["frame_size"] = [640, 360]
        visit["path"] = [[t / 2, x - 0.02, 0.3, x + 0.02, 0.5, 0.9] for t in range(6)]
    return control


@pytest.fixture
def editor(window: StartApi, look: Look) -> tuple[RunningApi, Page]:
    opened = window(control=yard())
    page = look(f"{opened.server.url}#/zones/porch", width=1200, height=1000)
    page.until(f"{SHAPES} === 2 && document.querySelector('#view-zones .drawing img').naturalWidth > 0")
    page.until("document.querySelector('#view-zones .preview-verdict').textContent.startsWith('Of 5 visits')")
    return opened, page


def place(page: Page, selector: str) -> tuple[float, float]:
    """The middle of an element on the screen, px."""
    box = page.run(
        f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
        " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    return float(box[0]), float(box[1])


def size(page: Page) -> tuple[float, float]:
    width, height = page.run(
        "(() => { const b = document.querySelector('#view-zones .drawing').getBoundingClientRect(); return [b.width, b.height]; })()"
    )
    return float(width), float(height)


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """With the mouse, in steps as a hand does it."""
    page.call("Input.dispatchMouseEvent", type="mousePressed", x=start[0], y=start[1], button="left", clickCount=1)
    for part in (0.3, 0.7, 1.0):
        x, y = (a + (b - a) * part for a, b in zip(start, end, strict=True))
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
    page.call("Input.dispatchMouseEvent", type="mouseReleased", x=end[0], y=end[1], button="left", clickCount=1)


def press(page: Page, key: str, **more: Any) -> None:
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **more)


def saved(opened: RunningApi, page: Page) -> dict[str, Any]:
    """The camera's section after a press of Save."""
    page.click("#view-zones .tools .primary")
    page.until("document.querySelector('#view-zones .message').textContent.startsWith('Saved.')")
    section: dict[str, Any] = opened.control.document["cameras"]["porch"]
    return section


def test_a_point_is_dragged_one_added_and_saved_with_the_rest_untouched(editor: tuple[RunningApi, Page]) -> None:
    opened, page = editor
    source = opened.control.document["cameras"]["porch"]["source"]
    width, height = size(page)
    x, y = place(page, "[data-key='zone/garden/corner/1']")
    drag(page, (x, y), (x + 0.2 * width, y + 0.1 * height))
    x, y = place(page, "[data-key='zone/garden/between/3']")
    drag(page, (x, y), (x - 0.1 * width, y))
    section = saved(opened, page)
    points = section["zones"]["garden"]
    assert len(points) == 5
    assert points[0] == [0.2, 0.2], "untouched"
    assert points[1] == pytest.approx([0.8, 0.3], abs=0.005)
    assert points[4] == pytest.approx([0.1, 0.4], abs=0.005)
    assert section["source"] == source, "the secret is kept, not its mask"
    assert section["alert"] == {"zones": ["garden"], "cooldown_s": 7}
    assert section["masks"] == [MASK]
    assert page.run("document.querySelector('#view-zones .tools .primary').disabled")
    assert page.complaints() == []


def test_who_would_have_alerted_is_said_before_anything_is_saved(editor: tuple[RunningApi, Page]) -> None:
    opened, page = editor
    assert "Of 5 visits today 2 would have alerted; 0 did." in page.text(".preview-verdict")
    assert page.text(".judged li.no").endswith("no alert: outside garden")
    width, _ = size(page)
    x, y = place(page, "[data-key='zone/garden/corner/1']")
    drag(page, (x, y), (x + 0.35 * width, y))
    x, y = place(page, "[data-key='zone/garden/corner/2']")
    drag(page, (x, y), (x + 0.35 * width, y))
    page.until("document.querySelector('#view-zones .preview-verdict').textContent.includes('4 would have alerted')")
    assert opened.control.document["cameras"]["porch"]["zones"]["garden"] == SQUARE, "nothing is saved"
    page.run(
        "[...document.querySelectorAll('#view-zones .tools button')].find(b => b.textContent === 'Discard changes').click()"
    )
    page.until("document.querySelector('#view-zones .preview-verdict').textContent.includes('2 would have alerted')")


def test_a_finger_moves_a_whole_shape(window: StartApi, look: Look) -> None:
    opened = window(control=yard())
    page = look(f"{opened.server.url}#/zones/porch", width=390, height=1400)
    page.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=1)
    page.until(f"{SHAPES} === 2")
    page.until("document.querySelector('#view-zones .drawing img').naturalWidth > 0")
    width, height = size(page)
    x, y = place(page, "[data-key='zone/garden/body']")
    page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    for part in (0.5, 1.0):
        page.call(
            "Input.dispatchTouchEvent",
            type="touchMove",
            touchPoints=[{"x": x + 0.1 * part * width, "y": y + 0.2 * part * height}],
        )
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    points = saved(opened, page)["zones"]["garden"]
    for point, old in zip(points, SQUARE, strict=True):
        assert point == pytest.approx([old[0] + 0.1, old[1] + 0.2], abs=0.01)
    reach = page.run("document.querySelector('#view-zones .handle.corner .reach').getBoundingClientRect().width")
    assert reach >= 44, "a thumb finds it"


def test_the_keyboard_alone_moves_adds_and_removes_points(editor: tuple[RunningApi, Page]) -> None:
    opened, page = editor
    page.run("document.querySelector('[data-key=\"zone/garden/corner/0\"]').focus()")
    press(page, "ArrowRight")
    press(page, "ArrowDown", modifiers=8)  # Shift
    assert "point 1 of 4 at 21 %, 25 %" in page.run("document.activeElement.getAttribute('aria-label')")
    page.run("document.querySelector('[data-key=\"zone/garden/between/0\"]').focus()")
    press(page, "Enter")
    assert page.run("document.activeElement.dataset.key") == "zone/garden/corner/1"
    page.run("document.querySelector('[data-key=\"zone/garden/corner/3\"]').focus()")
    press(page, "Delete")
    points = saved(opened, page)["zones"]["garden"]
    assert points == [[0.205, 0.25], [0.4025, 0.225], [0.6, 0.2], [0.2, 0.6]]
    for _ in range(3):
        page.run("document.querySelector('[data-key=\"zone/garden/corner/0\"]').focus()")
        press(page, "Delete")
    page.until("document.querySelectorAll('#view-zones .handle.corner').length === 3")


def test_zones_are_added_named_deleted_and_chosen_for_alerts(editor: tuple[RunningApi, Page]) -> None:
    opened, page = editor
    page.run(
        "[...document.querySelectorAll('#view-zones .tools button')].find(b => b.textContent === 'Add a zone').click()"
    )
    page.until(f"{SHAPES} === 3")
    name = "document.querySelector('#view-zones .shape-list li.chosen input.name')"
    page.run(f"{name}.value = 'Front Door!'; {name}.dispatchEvent(new Event('change'))")
    page.until("[...document.querySelectorAll('#view-zones .shape-name')].some(t => t.textContent === 'front-door')")
    page.run(f"{name}.value = 'garden'; {name}.dispatchEvent(new Event('change'))")
    page.until("document.querySelector('#view-zones .message.bad').textContent === 'There is a zone garden already.'")
    page.click("#view-zones .shape-list li:first-child .check input")
    page.run(
        "[...document.querySelectorAll('#view-zones .shape-list button')].find(b => b.ariaLabel === 'Delete Mask 1').click()"
    )
    section = saved(opened, page)
    assert list(section["zones"]) == ["garden", "front-door"]
    assert section["masks"] == []
    assert section["alert"]["zones"] == ["front-door"]
    colours = page.run("[...document.querySelectorAll('#view-zones .drawing .shape')].map(s => s.getAttribute('fill'))")
    assert len(set(colours)) == 2


def test_outlines_at_two_depths_set_the_sizes(editor: tuple[RunningApi, Page]) -> None:
    opened, page = editor
    page.click("#view-zones .tools > .check input")
    page.until(f"{SHAPES} === 4")
    page.run("document.querySelector('[data-key=\"far/body\"]').focus()")
    page.until("document.querySelectorAll('#view-zones .handle.corner').length === 2")
    page.run("document.querySelector('[data-key=\"far/corner/1\"]').focus()")
    press(page, "ArrowDown", modifiers=8)
    before = page.run("document.querySelector('#view-zones .tools > .quiet').textContent")
    assert "People cover" in before
    section = saved(opened, page)
    corners = page.run(
        "['far', 'near'].map(id => document.querySelector(`[data-key=\"${id}/body\"]`).getAttribute('points')"
        ".split(' ').map(p => p.split(',').map(Number)))"
    )
    scale = 1000 * 640 / 360
    (far, near) = ((c[2][0] - c[0][0]) / scale * (c[2][1] - c[0][1]) / 1000 for c in corners)
    assert section["alert"]["min_area"] == pytest.approx(far / 2, rel=0.01)
    assert section["alert"]["max_area"] == pytest.approx(near * 2, rel=0.01)
    page.click("#view-zones .tools > .check input")
    assert "min_area" not in saved(opened, page)["alert"]


def test_a_change_by_somebody_else_meanwhile_is_kept(editor: tuple[RunningApi, Page]) -> None:
    opened, page = editor
    opened.control.document["cameras"]["porch"]["detect_fps"] = 5
    page.run("document.querySelector('[data-key=\"zone/garden/body\"]').focus()")
    press(page, "ArrowRight")
    section = saved(opened, page)
    assert (section["detect_fps"], section["zones"]["garden"][0]) == (5, [0.205, 0.2])


def test_what_cannot_be_saved_says_why_and_is_not_lost(editor: tuple[RunningApi, Page]) -> None:
    opened, page = editor
    opened.control.document["cameras"]["porch"]["detect_fps"] = -1  # as an older version may have let through
    page.run("document.querySelector('[data-key=\"zone/garden/body\"]').focus()")
    press(page, "ArrowRight")
    page.click("#view-zones .tools .primary")
    page.until(
        "document.querySelector('#view-zones .message.bad').textContent.includes('The zones were not saved: cameras.porch.detect_fps')"
    )
    assert not page.run("document.querySelector('#view-zones .tools .primary').disabled")
    assert opened.control.document["cameras"]["porch"]["zones"]["garden"] == SQUARE


def test_nothing_sticks_out_and_everything_has_a_name(editor: tuple[RunningApi, Page]) -> None:
    _, page = editor
    for width in (320, 390, 768, 1100, 1600):
        page.resize(width)
        assert page.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0, width
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "checkbox", "textbox", "combobox", "link")
    usable = [n for n in nodes if n.get("role", {}).get("value") in roles and not n["ignored"]]
    assert len(usable) > 15
    assert [n for n in usable if not n["name"]["value"].strip()] == []
