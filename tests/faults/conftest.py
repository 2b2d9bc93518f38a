"""A broker that keeps what it took over its own end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.mosquitto import Mosquitto


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path / "mosquitto", persistent=True, options=["max_queued_messages 0"])
    mosquitto.start()
    yield mosquitto
    mosquitto.kill()
