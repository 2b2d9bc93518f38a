"""A detector as a process, a real Mosquitto and a real Home Assistant: a site as a user has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.alerts.homeassistant_entity import slug
from support import sample
from support.home_assistant import HomeAssistant
from support.mosquitto import Mosquitto, RecordingSubscriber, free_port
from support.program import Program

CODE = "7391"
AWAY = "shed"
"""The name of a camera that cannot be reached."""
ALARM = "alarm_control_panel.yard_alarm"


@dataclass
class Site:
    """A detector, a broker, a Home Assistant, and a client that listens to all that passes between them."""

    folder: Path
    broker: Mosquitto
    home: HomeAssistant
    heard: RecordingSubscriber
    detector: Program

    def components(self) -> dict[str, dict[str, Any]]:
        """What the detector describes itself as."""
        payload = self.heard.last("homeassistant/device/yard/config")
        found: dict[str, dict[str, Any]] = json.loads(payload or b"{}").get("components", {})
        return found

    def ids(self, key: str) -> tuple[str, str]:
        """The entity ids that the component may have: older versions make it from the names, newer ones are told it."""
        one = self.components()[key]
        return f"{one['platform']}.{slug('Yard ' + one['name'])}", str(one["default_entity_id"])

    def id(self, key: str) -> str:
        """The entity's id in this Home Assistant."""
        states = self.home.states()
        return next((one for one in self.ids(key) if one in states), self.ids(key)[0])

    def start_detector(self, *cameras: str) -> None:
        self.detector = Program(self.folder / "run", config(self.broker.port, *cameras))
        self.detector.start()
        self.detector.wait_ready()


def config(port: int, *cameras: str) -> dict[str, Any]:
    clip = {"source": str(sample.clip()), "loop": True, "detect_fps": 2, "alert": {"cooldown_s": 3, "still_days": 0}}
    away = {"source": f"http://127.0.0.1:{free_port()}/nobody-is-there"}
    return {
        "device": {"id": "yard", "name": "Yard"},
        "model": {"name": str(sample.model())},
        "cameras": {name: away if name == AWAY else clip for name in cameras},
        "mqtt": {"broker": f"mqtt://127.0.0.1:{port}", "stats_interval_s": 1},
        "alarm": {"code": CODE, "trigger_s": 2},
    }


@contextmanager
def running_site(folder: Path, home: HomeAssistant, broker: Mosquitto, document: dict[str, Any]) -> Iterator[Site]:
    """A site whose detector has the configuration `document`, until all of it is ended."""
    broker.start()
    heard = RecordingSubscriber(broker.port)
    made = Site(folder, broker, home, heard, Program(folder / "run", document))
    try:
        made.detector.start()
        made.detector.wait_for(lambda: made.detector.get("/healthz")[0] == 200, "its start")  # ready needs every camera
        home.start()
        home.add_mqtt(broker.port)
        yield made
    finally:
        home.stop()
        made.detector.kill()
        heard.close()
        broker.kill()
