"""A zone drawn on the page of the real program: it holds at once, the camera stays open, the visit goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support import standing
from support.browser import Browser, needs_browser
from support.mosquitto import Mosquitto
from support.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), needs_browser]
CORNER = [[0.9, 0.0], [1.0, 0.0], [1.0, 0.1], [0.9, 0.1]]


def asked(program: Program, path: str) -> Any:
    code, body = program.get(path)
    assert code == 200, (path, code, body)
    return json.loads(body)


def test_a_zone_saved_on_the_page_neither_reopens_the_camera_nor_loses_a_track(
    tmp_path: Path, broker: Mosquitto
) -> None:
    camera = standing.camera(tmp_path, fps=10, zones=["gate"]) | {
        "zones": {"gate": CORNER},
        "motion": {"crops_per_s": 0},
    }
    mqtt = {"broker": f"mqtt://127.0.0.1:{broker.port}"}
    config = {"model": standing.model(tmp_path), "cameras": {"door": camera}, "mqtt": mqtt}
    program = Program(tmp_path / "run", config)
    browser = Browser(tmp_path / "profile")
    try:
        program.start()
        program.wait_ready()
        program.wait_for(lambda: asked(program, "/api/events"), "the visit")
        (before,) = asked(program, "/api/events")
        program.wait_for(
            lambda: [box["reason"] for box in asked(program, "/api/cameras/door/scene")["boxes"]] == ["outside gate"],
            "the reason",
        )
        track = asked(program, "/api/cameras/door/scene")["boxes"][0]["track"]
        camera_before = asked(program, "/api/status")["cameras"]["door"]

        page = browser.page(f"http://127.0.0.1:{program.port}/#/zones/door", height=1100)
        page.until(
            "document.querySelector('#view-zones .drawing img').naturalWidth > 0 && document.querySelector('#view-zones .shape')"
        )
        page.until(
            "document.querySelector('#view-zones .preview-verdict').textContent.includes('0 would have alerted')"
        )
        page.run("document.querySelector('[data-key=\"zone/gate/corner/3\"]').focus()")
        for key, times in (("ArrowLeft", 18), ("ArrowDown", 18)):
            for _ in range(times):
                page.call("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=8)
        page.run("document.querySelector('[data-key=\"zone/gate/corner/2\"]').focus()")
        for _ in range(18):
            page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowDown", modifiers=8)
        page.run("document.querySelector('[data-key=\"zone/gate/corner/0\"]').focus()")
        for _ in range(18):
            page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowLeft", modifiers=8)
        page.until(
            "document.querySelector('#view-zones .preview-verdict').textContent.includes('1 would have alerted')"
        )
        assert asked(program, "/api/events")[0]["alerts"] == [], "nothing is saved yet"
        page.click("#view-zones .tools .primary")
        page.until("document.querySelector('#view-zones .message').textContent.startsWith('Saved.')")

        program.wait_for(lambda: asked(program, "/api/events")[0]["alerts"], "the alert")
        (after,) = asked(program, "/api/events")
        assert (after["id"], after["end_time"]) == (before["id"], None), "the same visit goes on"
        assert after["current_zones"] == ["gate"]
        boxes = asked(program, "/api/cameras/door/scene")["boxes"]
        assert [(box["track"], box["alerted"], box["reason"]) for box in boxes] == [(track, True, "")]
        camera_after = asked(program, "/api/status")["cameras"]["door"]
        assert camera_after["frames"] > camera_before["frames"], "the counter of an opened camera starts anew"
        assert camera_after["reconnects"] == camera_before["reconnects"]
        whole = asked(program, f"/api/events/{before['id']}")
        assert len(whole["path"]) >= 2
        assert page.complaints() == []
        assert program.stop() == 0
    finally:
        browser.close()
        program.kill()
