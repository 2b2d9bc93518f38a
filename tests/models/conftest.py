"""Models and pictures for the tests of graphs and loading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from detector.capture.factory import file_source
from detector.core.types import ArrayImage, Image
from support import sample


@pytest.fixture(scope="session")
def model(model_file: Callable[[str], Path]) -> Callable[[str], onnx.ModelProto]:
    return lambda name: onnx.load(str(model_file(name)))


@pytest.fixture(scope="session")
def photos(people: Path) -> list[Image]:
    """Sixteen pictures or so, most with persons."""
    return [sample.image(path) for path in sorted(people.iterdir())[::4]]


@pytest.fixture(scope="session")
def street(request: pytest.FixtureRequest, has_shared: bool) -> list[Image]:
    """Three pictures of 4:3 with 2 to 8 persons in each: frames of vtest, else of the sample clip."""
    if not has_shared:
        return [ArrayImage(np.pad(pair, ((0, 0), (0, 86), (0, 0)), mode="edge")) for pair in sample.pairs()[:3]]
    shared: Path = request.getfixturevalue("shared")
    source = file_source(shared / "media" / "video" / "vtest.avi")
    source.open()
    frames = [source.read().image for _ in range(21)]
    source.close()
    return [ArrayImage(frame.bgr()) for frame in frames[::10]]


@pytest.fixture
def noise() -> list[Image]:
    """Pictures for networks with random weights, which see persons everywhere."""
    random = np.random.default_rng(1)
    return [ArrayImage(random.integers(0, 256, (96, 96, 3), np.uint8)) for _ in range(3)]
