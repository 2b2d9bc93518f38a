"""Each thing that Home Assistant shows of a detector, looked up in its own registry (make ha-test)."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
import yaml

from support.ha_site import ALARM, AWAY, Site
from support.home_assistant import wait_for

pytestmark = [pytest.mark.ha, pytest.mark.timeout(1800)]

# key: (platform, device class, category, unit)
Row = tuple[str, str | None, str | None, str | None]
DEVICE: dict[str, Row] = {
    "alarm": ("alarm_control_panel", None, None, None),
    "intrusion": ("event", None, None, None),
    "problem": ("binary_sensor", "problem", "diagnostic", None),
    "pending_alerts": ("sensor", None, "diagnostic", None),
    "inference": ("sensor", "duration", "diagnostic", "ms"),
    "fps": ("sensor", None, "diagnostic", "fps"),
    "temperature": ("sensor", "temperature", "diagnostic", "°C"),
    "power": ("sensor", "power", "diagnostic", "W"),
    "throttled": ("binary_sensor", "problem", "diagnostic", None),
    "model": ("sensor", None, "diagnostic", None),
    "precision": ("sensor", None, "diagnostic", None),
    "restart": ("button", "restart", "config", None),
    "update": ("update", None, "config", None),
}
CAMERA: dict[str, Row] = {
    "occupancy": ("binary_sensor", "occupancy", None, None),
    "count": ("sensor", None, None, None),
    "motion": ("binary_sensor", "motion", None, None),
    "snapshot": ("image", None, None, None),
    "alert": ("event", None, None, None),
    "visit": ("event", None, None, None),
    "tamper": ("event", None, None, None),
    "detect": ("switch", None, None, None),
    "suppress": ("button", None, None, None),
    "snooze": ("number", None, None, "min"),
    "snoozed_until": ("sensor", "timestamp", None, None),
    "last_alert": ("sensor", "timestamp", None, None),
    "latency": ("sensor", "duration", "diagnostic", "ms"),
    "status": ("binary_sensor", "connectivity", "diagnostic", None),
    "state": ("sensor", "enum", "diagnostic", None),
    "fps": ("sensor", None, "diagnostic", "fps"),
}
EVENTS = {"alert": ["intrusion", "reminder"], "visit": ["appeared", "left"]}
# Known while the camera is away, too: what was, what is set, and that it is away.
ALWAYS = {"alert", "visit", "tamper", "detect", "suppress", "snooze", "snoozed_until", "last_alert", "latency", "status",
          "state"}  # fmt: skip


@pytest.fixture(scope="module")
def cameras() -> tuple[str, ...]:
    return ("porch", AWAY)


def registry(site: Site) -> dict[str, dict[str, Any]]:
    """Home Assistant's record of each entity by its key, as it is written to the disk some seconds after a change."""
    file = site.home.folder / ".storage" / "core.entity_registry"
    prefix = "detector_yard_"

    def complete() -> dict[str, dict[str, Any]]:
        if not file.exists():
            return {}
        entities = json.loads(file.read_text(encoding="utf-8"))["data"]["entities"]
        found = {one["unique_id"].removeprefix(prefix): one for one in entities if one["unique_id"].startswith(prefix)}
        wanted = {key for key, one in site.components().items() if one["platform"] != "device_automation"}
        return found if wanted and wanted == found.keys() else {}

    complete_one: dict[str, dict[str, Any]] = wait_for(complete, "every entity in the registry", timeout=120.0)
    return complete_one


def test_each_entity_is_there_as_what_it_is(site: Site) -> None:
    wanted = DEVICE | {f"{camera}_{key}": row for camera in ("porch", AWAY) for key, row in CAMERA.items()}
    found = registry(site)
    assert found.keys() == wanted.keys()
    rows = {
        key: (
            one["entity_id"].split(".")[0],
            one["original_device_class"],
            one["entity_category"],
            one["unit_of_measurement"],
        )
        for key, one in found.items()
    }
    assert rows == wanted
    assert len({one["device_id"] for one in found.values()}) == 1
    assert {one["disabled_by"] for one in found.values()} == {None}


def test_each_has_a_name_and_an_icon(site: Site) -> None:
    found = registry(site)
    names = [one["original_name"] for one in found.values()]
    assert len(set(names)) == len(names)
    assert {"Alarm", "Porch occupancy", "Porch last alert", "Shed camera"} <= set(names)
    # Home Assistant has one for each device class, and for what has its own look.
    plain = {key for key, one in found.items() if not one["original_icon"] and not one["original_device_class"]}
    assert plain == {"update"}


def test_the_alarm_panel_offers_each_mode_and_asks_for_a_code_to_disarm(site: Site) -> None:
    panel = site.home.attributes(ALARM)
    home, away, night, vacation = 1, 2, 4, 32  # AlarmControlPanelEntityFeature
    assert panel["supported_features"] == home | away | night | vacation
    assert (panel["code_format"], panel["code_arm_required"]) == ("number", False)


def test_the_event_entities_tell_their_types(site: Site) -> None:
    for key, types in EVENTS.items():
        assert site.home.attributes(site.id(f"porch_{key}"))["event_types"] == types
    assert set(site.home.attributes(site.id("porch_tamper"))["event_types"]) > {"covered"}


def test_what_a_camera_that_is_away_shows_is_unavailable_and_nothing_else(site: Site) -> None:
    home = site.home
    home.until(site.id(f"{AWAY}_status"), "off")
    home.until(site.id(f"{AWAY}_state"), "offline")
    for key in CAMERA.keys() - ALWAYS:
        home.until(site.id(f"{AWAY}_{key}"), "unavailable")
    states = home.states()
    for key in ALWAYS:
        assert states[site.id(f"{AWAY}_{key}")]["state"] != "unavailable", key
    home.until(site.id("porch_occupancy"), lambda state: state in ("on", "off"))
    home.until(site.id("problem"), "on")
    assert any(AWAY in one for one in home.attributes(site.id("problem"))["problems"])


def test_what_this_machine_does_not_measure_is_unknown_and_not_wrong(site: Site) -> None:
    system = site.detector.status()["system"]
    for key, measured in (("temperature", "temperature_c"), ("power", "power_w"), ("throttled", "throttled")):
        if system.get(measured) is None:
            site.home.until(site.id(key), "unknown")
        else:
            site.home.until(site.id(key), lambda state: state not in (None, "unknown", "unavailable"))


def test_the_update_tells_both_versions(site: Site) -> None:
    about = site.home.attributes(site.id("update"))
    assert about["installed_version"] == about["latest_version"] == site.detector.status()["version"]


def test_the_broker_dies_and_returns_without_what_it_knew(site: Site) -> None:
    site.broker.kill()
    site.home.until(ALARM, "unavailable")
    site.broker.database.unlink(missing_ok=True)
    site.broker.start()
    site.home.until(ALARM, lambda state: state not in (None, "unavailable", "unknown"), timeout=120.0)
    site.home.until(site.id("porch_status"), "on")
    site.home.until(site.id("porch_motion"), lambda state: state in ("on", "off"))
    site.home.until(site.id("porch_last_alert"), lambda state: str(state).startswith("20"))


def test_a_camera_taken_out_while_all_runs_is_gone(site: Site) -> None:
    document = yaml.safe_load(site.detector.path.read_text(encoding="utf-8"))
    del document["cameras"][AWAY]
    old = {site.id(f"{AWAY}_{key}") for key in CAMERA}
    site.detector.path.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert site.detector.process is not None
    site.detector.process.send_signal(signal.SIGHUP)
    wait_for(lambda: not old & site.home.states().keys(), "the old entities' end")
    assert [line for line in site.home.faults() if "mqtt" in line.lower() and "connect" not in line.lower()] == []
