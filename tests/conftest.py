"""What all tests share: where the shared data lies, if it does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A landing must not hang on a dice; at a desk every run tries new examples.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

SHARED = Path(os.environ.get("DETECTOR_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of models, pictures and clips that is not part of the project."""
    if not (SHARED / "media").is_dir():
        pytest.skip("needs the shared test data (../shared or DETECTOR_SHARED)")
    return SHARED
