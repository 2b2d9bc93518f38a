"""Outboxes and brokers for the tests of alerts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from detector.alerts.outbox import Outbox
from support.mosquitto import Mosquitto


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "outbox.db"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    with closing(Outbox(path)) as opened:
        yield opened


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    # It keeps the subscriber's session over its own death, so that what it acknowledged is delivered.
    broker = Mosquitto(tmp_path / "broker", persistent=True, options=["max_queued_messages 0"])
    broker.start()
    yield broker
    broker.kill()
