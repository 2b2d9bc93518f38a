"""Frigate's own Home Assistant integration with the detector in Frigate's place (make ha-test).

It is in no package registry: name the folder `custom_components/frigate` of its repository with
DETECTOR_FRIGATE_INTEGRATION.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import sample
from support.ha_site import Site, running_site
from support.home_assistant import HomeAssistant, wait_for
from support.mosquitto import Mosquitto

pytestmark = [pytest.mark.ha, pytest.mark.timeout(1800)]
TOKEN = "correct-horse-battery"
GARDEN = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]


def integration() -> Path:
    named = os.environ.get("DETECTOR_FRIGATE_INTEGRATION")
    if not named:
        pytest.skip("name the folder of Frigate's Home Assistant integration with DETECTOR_FRIGATE_INTEGRATION")
    return Path(named)


@pytest.fixture(scope="module")
def frigate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    source, folder = integration(), tmp_path_factory.mktemp("frigate")
    home = HomeAssistant(folder / "home")
    shutil.copytree(source, home.folder / "custom_components" / "frigate")
    broker = Mosquitto(folder / "broker")
    camera = {"source": str(sample.clip()), "loop": True, "detect_fps": 2, "zones": {"garden": GARDEN}}
    config = {
        "device": {"id": "yard"},
        "model": {"name": str(sample.model())},
        "cameras": {"porch": {**camera, "alert": {"cooldown_s": 3, "still_days": 0}}},
        "mqtt": {
            "broker": f"mqtt://127.0.0.1:{broker.port}",
            "topic_prefix": "frigate",
            "discovery_prefix": None,
            "stats_interval_s": 1,
        },
        "api": {"token": TOKEN},
    }
    with running_site(folder, home, broker, config) as made:
        yield made


def add(site: Site, password: str) -> dict[str, Any]:
    """The integration, as a user adds it: Home Assistant's answer."""
    flows = "/api/config/config_entries/flow"
    flow = site.home.post(flows, {"handler": "frigate", "show_advanced_options": False})
    given = {"url": f"http://127.0.0.1:{site.detector.port}/frigate", "validate_ssl": False}
    given |= {"username": "admin", "password": password}
    answer: dict[str, Any] = site.home.post(f"{flows}/{flow['flow_id']}", given)
    return answer


def picture(site: Site, path: str) -> bytes:
    """What Home Assistant gives at `path` with its own sign-in."""
    request = urllib.request.Request(site.home.address(path), headers=site.home.signed_in)
    with urllib.request.urlopen(request, timeout=20) as answer:
        body: bytes = answer.read()
        return body


def ended(site: Site) -> dict[str, Any] | None:
    """A visit that is over, as the topic `events` told it."""
    for one in list(site.heard.heard):
        if one.topic == "frigate/events":
            change = json.loads(one.payload)
            if change["type"] == "end":
                after: dict[str, Any] = change["after"]
                return after
    return None


def test_it_is_added_with_the_token_as_password_alone(frigate: Site) -> None:
    refused = add(frigate, "wrong-horse-battery")
    assert (refused["type"], refused["errors"]) == ("form", {"base": "cannot_connect"})
    done = add(frigate, TOKEN)
    assert done["type"] == "create_entry", done
    assert TOKEN not in done["title"]


def test_its_entities_are_made_and_follow(frigate: Site) -> None:
    home = frigate.home
    for entity in ("binary_sensor.porch_person_occupancy", "binary_sensor.garden_person_occupancy"):
        home.until(entity, "on")
        home.until(entity, "off")
    home.until("sensor.porch_person_count", lambda state: int(state or -1) >= 0)
    home.until("sensor.porch_all_active_count", lambda state: int(state or -1) >= 0)
    home.until("sensor.porch_review_status", lambda state: state in ("NONE", "DETECTION", "ALERT"))
    home.until("image.porch_person", lambda state: str(state).startswith("20"))
    home.until("camera.porch", lambda state: state in ("recording", "idle", "streaming"))
    for switch, state in (("detect", "on"), ("motion", "on"), ("recordings", "on"), ("review_alerts", "on")):
        home.until(f"switch.porch_{switch}", state)
    home.until("update.frigate_server", "off")
    assert about_frigate(frigate) == []


def test_its_switch_turns_detection_off_and_one_that_is_not_followed_stays(frigate: Site) -> None:
    home = frigate.home
    home.call("switch.turn_off", entity_id="switch.porch_detect")
    home.until("switch.porch_detect", "off")
    home.call("switch.turn_on", entity_id="switch.porch_detect")
    home.until("switch.porch_detect", "on")
    home.call("switch.turn_off", entity_id="switch.porch_snapshots")
    wait_for(lambda: frigate.heard.last("frigate/porch/snapshots/set") == b"OFF", "the command")
    home.until("switch.porch_snapshots", "on")


def test_its_pictures_and_clips_come_through_home_assistant(frigate: Site) -> None:
    assert picture(frigate, "/api/camera_proxy/camera.porch")[:2] == b"\xff\xd8"
    visit = wait_for(lambda: ended(frigate), "a visit's end", timeout=90.0)["id"]
    for path in (f"/api/frigate/yard/snapshot/{visit}", f"/api/frigate/yard/thumbnail/{visit}",
                 f"/api/frigate/notifications/{visit}/snapshot.jpg"):  # fmt: skip
        assert picture(frigate, path)[:2] == b"\xff\xd8", path
    clip = wait_for(lambda: frigate.heard.last("frigate/clips"), "a clip", timeout=90.0)
    with_clip = json.loads(clip)["event_id"]
    assert picture(frigate, f"/api/frigate/notifications/{with_clip}/clip.mp4")[4:8] == b"ftyp"


def test_home_assistant_restarts(frigate: Site) -> None:
    frigate.home.stop()
    frigate.home.start()
    frigate.home.until("switch.porch_detect", "on", timeout=90.0)
    frigate.home.until("binary_sensor.porch_person_occupancy", lambda state: state in ("on", "off"))
    assert about_frigate(frigate) == []


def about_frigate(site: Site) -> list[str]:
    """What Home Assistant complains of, but for the login that was refused and that the integration is not its own."""
    lines = [line for line in site.home.faults() if "custom integration frigate" not in line]
    return [line for line in lines if "401" not in line and "Unauthorized" not in line]
