"""Nobody is here, in the real program: by the page, MQTT and HTTP; kept over a kill and other settings; undone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.browser import PROGRAM, Browser
from support.coat import coat_clip
from support.mosquitto import Heard, Mosquitto, RecordingSubscriber
from support.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ALERTS, EVENTS = "detector/alerts", "detector/events"


class Street:
    """The program on the coat's clip, and a subscriber beside it."""

    def __init__(self, folder: Path, model: Path, broker: Mosquitto) -> None:
        self.clip = coat_clip(folder / "coat.mp4")
        self.heard = RecordingSubscriber(broker.port, "detector/#")
        camera = {"source": str(self.clip), "loop": True, "clip": {"enabled": False}}
        camera["alert"] = {"cooldown_s": 0, "still_days": 0}  # nothing is learnt: only what a user says counts
        self.config: dict[str, Any] = {
            "model": {"name": str(model)},
            "cameras": {"door": camera},
            "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"},
        }
        self.program = Program(folder / "run", self.config)

    def change(self, **camera: Any) -> None:
        """Other settings of the camera, before a start."""
        document = yaml.safe_load(self.program.path.read_text(encoding="utf-8"))
        document["cameras"]["door"].update(camera)
        self.program.path.write_text(yaml.safe_dump(document), encoding="utf-8")

    def mark(self) -> int:
        """How much was heard so far."""
        return len(self.heard.heard)

    def alerts(self, since: int = 0) -> list[dict[str, Any]]:
        return [json.loads(one.payload) for one in self.heard.heard[since:] if one.topic == ALERTS]

    def next_alert(self, since: int) -> dict[str, Any]:
        self.wait(lambda _heard: self.alerts(since), "the next alert")
        return self.alerts(since)[0]

    def wait(self, condition: Callable[[list[Heard]], object], what: str) -> None:
        self.program.wait_for(lambda: condition(self.heard.heard), what, timeout=150)

    def held_back(self, count: int = 2) -> None:
        """Wait until so many more visits came, all of them marked as nobody and without an alert."""
        since = self.mark()
        self.wait(lambda _heard: len(self.ended(since)) >= count, f"{count} visits that are held back")
        for visit in self.ended(since):
            assert visit["suppressed"] is not None, visit
            assert visit["suppressed"]["asked"]
        assert self.alerts(since) == []

    def ended(self, since: int) -> list[dict[str, Any]]:
        """The visits that ended after `since` and began after it too."""
        changes = [json.loads(one.payload) for one in self.heard.heard[since:] if one.topic == EVENTS]
        begun = {change["after"]["id"] for change in changes if change["type"] == "new"}
        return [change["after"] for change in changes if change["type"] == "end" and change["after"]["id"] in begun]

    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.program.get("/api/suppressions")[1])
        return found


@pytest.fixture
def street(tmp_path: Path, model: Path) -> Iterator[Street]:
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    made = Street(tmp_path, model, broker)
    yield made
    made.program.kill()
    made.heard.close()
    broker.kill()


def test_over_mqtt_over_a_kill_and_other_settings_until_it_is_undone(street: Street, clip: Path) -> None:
    program = street.program
    program.start()
    program.wait_ready()
    alert = street.next_alert(0)
    street.heard.publish("detector/door/suppress/set", "LATEST")  # as Home Assistant's button does
    program.wait_for(street.listed, "the suppression")
    (made,) = street.listed()
    assert (made["camera"], made["asked"], made["id"]) == ("door", True, made["event_id"])
    assert alert["camera"] == "door"
    code, picture = program.get(f"/api/suppressions/{made['id']}/snapshot.jpg")
    assert (code, picture[:2]) == (200, b"\xff\xd8")
    street.held_back()
    assert street.listed()[0]["matches"] > made["matches"]

    program.kill()
    street.change(detect_fps=4, alert={"cooldown_s": 5, "still_days": 0})
    program.start()
    program.wait_ready()
    assert [one["id"] for one in street.listed()] == [made["id"]]
    assert program.get(f"/api/suppressions/{made['id']}/snapshot.jpg") == (200, picture)
    street.held_back()

    # A real person rides through that very place, and looks there as what was marked does: it is the same clip.
    program.kill()
    street.change(source=str(clip), detect_fps=10, alert={"cooldown_s": 0, "still_days": 0})
    since = street.mark()
    program.start()
    program.wait_ready()
    street.next_alert(since)
    assert [one["id"] for one in street.listed()] == [made["id"]]

    program.kill()
    street.change(source=str(street.clip))
    program.start()
    program.wait_ready()
    street.held_back(1)
    assert program.get(f"/api/suppressions/{made['id']}", method="DELETE")[0] == 204
    assert program.get(f"/api/suppressions/{made['id']}", method="DELETE")[0] == 404
    street.next_alert(street.mark())
    assert street.listed() == []
    assert program.stop() == 0


@pytest.mark.skipif(PROGRAM is None, reason="needs chromium")
def test_by_one_press_on_the_page_and_undone_there(street: Street, tmp_path: Path) -> None:
    program = street.program
    program.start()
    program.wait_ready()
    alert = street.next_alert(0)
    browser = Browser(tmp_path / "profile")
    try:
        page = browser.page(f"http://127.0.0.1:{program.port}/")
        page.until(f"document.querySelector('.visit[data-id=\"{alert['event_id']}\"] .nobody')")
        page.click(f'.visit[data-id="{alert["event_id"]}"] .nobody')
        page.until("document.querySelectorAll('.suppression').length === 1")
        page.until("document.querySelector('.suppression .thumb img').naturalWidth === 640")
        assert "marked as nobody" in page.text(".suppression")
        street.held_back(1)
        page.until("document.querySelector('.visit.held')")
        page.click(".suppression .undo")
        page.until("document.querySelector('#suppressions-section').hidden")
        assert page.complaints() == []
        street.next_alert(street.mark())
    finally:
        browser.close()
    assert street.listed() == []


def test_over_http_nonsense_is_refused_and_a_visit_is_marked(street: Street) -> None:
    program = street.program
    program.start()
    program.wait_ready()
    event_id = street.next_alert(0)["event_id"]
    for bad in ("1790000000.0-none", "..%2f..%2fetc%2fpasswd", "x" * 300, "%00"):
        assert program.get(f"/api/events/{bad}/suppress", method="POST", body={})[0] == 404
        assert program.get(f"/api/suppressions/{bad}", method="DELETE")[0] == 404
        assert program.get(f"/api/suppressions/{bad}/snapshot.jpg")[0] == 404
    assert street.listed() == []
    code, body = program.get(f"/api/events/{event_id}/suppress", method="POST", body={})
    assert (code, json.loads(body)["id"]) == (200, event_id)
    street.held_back(1)
    assert "Traceback" not in program.log()
