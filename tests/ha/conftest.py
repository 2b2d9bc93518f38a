from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.ha_site import Site, config, running_site
from support.home_assistant import HomeAssistant
from support.mosquitto import Mosquitto


@pytest.fixture(scope="module")
def cameras() -> tuple[str, ...]:
    """The names with which the detector starts; a module may have others."""
    return ("porch", "back-door")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cameras: tuple[str, ...]) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("ha")
    home = HomeAssistant(folder / "home")  # skips where there is none
    broker = Mosquitto(folder / "broker", persistent=True)
    with running_site(folder, home, broker, config(broker.port, *cameras)) as made:
        yield made
