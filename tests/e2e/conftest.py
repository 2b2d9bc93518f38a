"""What the end-to-end tests stand on: the default model and the sample clip, fetched as a user's would be."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.core.errors import ModelError
from detector.models.registry import load_registry


def _fetched(kind: str, name: str) -> Path:
    registry = load_registry()
    try:
        return registry.fetch(name) if kind == "model" else registry.fetch_clip(name)
    except ModelError as error:
        pytest.skip(f"needs {name}, which cannot be fetched here: {error}")


@pytest.fixture(scope="session")
def model() -> Path:
    """The default model's file."""
    return _fetched("model", "yolox-tiny-person")


@pytest.fixture(scope="session")
def clip(model: Path) -> Path:
    """Ten seconds in which a cyclist comes, goes, and comes again."""
    assert model.is_file()  # whoever runs the clip runs the model on it
    return _fetched("clip", "bikes")
