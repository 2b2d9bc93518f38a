"""The shared clips as the default model sees them, once for all tests of this package: hundreds of model runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.trackscore import ScoredClip, detect


@pytest.fixture(scope="session")
def vtest(shared: Path) -> ScoredClip:
    """Every frame, 10 a second."""
    return detect(shared / "media" / "video" / "vtest.avi", shared / "models" / "yolox_tiny_humanart.onnx")


@pytest.fixture(scope="session")
def one_by_one(shared: Path) -> ScoredClip:
    """Every fifth frame, 2 a second."""
    clip = shared / "media" / "video" / "one-by-one-person-detection.mp4"
    return detect(clip, shared / "models" / "yolox_tiny_humanart.onnx", every=5)
