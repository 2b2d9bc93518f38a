from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.ha_site import Site, config
from support.home_assistant import HomeAssistant
from support.mosquitto import Mosquitto, RecordingSubscriber
from support.program import Program


@pytest.fixture(scope="module")
def cameras() -> tuple[str, ...]:
    """The names with which the detector starts; a module may have others."""
    return ("porch", "back-door")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cameras: tuple[str, ...]) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("ha")
    home = HomeAssistant(folder / "home")  # skips where there is none
    broker = Mosquitto(folder / "broker", persistent=True)
    broker.start()
    heard = RecordingSubscriber(broker.port)
    made = Site(folder, broker, home, heard, Program(folder / "run", config(broker.port, *cameras)))
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
