"""The engines of this machine in the cache, and the one to use for a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detector.core.errors import ModelError
from detector.core.files import cache_dir

from . import manifest
from .manifest import Environment

PRECISIONS = ("int8", "fp16", "fp32")
"""Fastest first, safest last."""


def engine_path(model: Path, model_sha256: str, precision: str) -> Path:
    """The engine's path in the cache; the model's sha256 in it separates models of the same name."""
    return cache_dir() / "engines" / f"{model.stem}-{model_sha256[:8]}-{precision}.engine"


def find(model: Path, model_sha256: str, here: Environment, *, precisions: Sequence[str] = PRECISIONS) -> Path:
    """The fastest accepted engine for the model on this machine; raises ModelError with the command to build one."""
    refusal: ModelError | None = None
    for precision in precisions:
        path = engine_path(model, model_sha256, precision)
        if not path.is_file():
            continue
        try:
            manifest.require_fit(path, manifest.read(path), here, model_sha256=model_sha256)
        except ModelError as error:
            refusal = refusal or error
        else:
            return path
    raise refusal or ModelError(f"no engine was built from {model.name} on this machine: run detector build {model}")
