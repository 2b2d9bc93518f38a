"""What the end-to-end tests stand on: the default model and the sample clip, fetched as a user's would be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import sample
from support.mosquitto import Mosquitto


@pytest.fixture(scope="session")
def model() -> Path:
    """The default model's file."""
    return sample.model()


@pytest.fixture(scope="session")
def clip(model: Path) -> Path:
    """Ten seconds in which a cyclist comes, goes, and comes again."""
    assert model.is_file()  # whoever runs the clip runs the model on it
    return sample.clip()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path / "mosquitto")
    mosquitto.start()
    yield mosquitto
    mosquitto.kill()
