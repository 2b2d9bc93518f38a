"""A small network with random weights, a cache of its own, and pictures in which it sees persons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from detector.core.types import ArrayImage, Image
from detector.models.registry import Resolved
from support.networks import network


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("DETECTOR_CACHE", str(folder))
    return folder


@pytest.fixture
def resolved(tmp_path: Path) -> Resolved:
    path = tmp_path / "small.onnx"
    onnx.save(network("dense", width=160, height=160), str(path))
    return Resolved(name="small", path=path, spec=None, entry=None)


@pytest.fixture
def noise() -> list[Image]:
    random = np.random.default_rng(1)
    return [ArrayImage(random.integers(0, 256, (120, 160, 3), np.uint8)) for _ in range(30)]
