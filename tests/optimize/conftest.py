"""Checkpoints and pictures for the tests of optimisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.engines.pictures import folder_pictures
from detector.types import ArrayImage, Image


@pytest.fixture(scope="session")
def checkpoint(shared: Path) -> Path:
    """YOLOv10-Nano with real weights."""
    return shared / "models" / "yolov10n.pt"


@pytest.fixture(scope="session")
def streets(shared: Path) -> list[Image]:
    """Three photos, most with persons."""
    return list(folder_pictures(shared / "media" / "images", count=3))


@pytest.fixture(scope="session")
def noises() -> list[Image]:
    """For networks with random weights, which are sure of nothing anywhere."""
    random = np.random.default_rng(1)
    return [ArrayImage(random.integers(0, 256, (96, 160, 3), np.uint8)) for _ in range(2)]
