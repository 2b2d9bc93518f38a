"""Where this machine's engines lie, and which of them serves a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detector.core.errors import ModelError
from detector.core.files import cache_dir

from . import manifest
from .manifest import Environment

PRECISIONS = ("int8", "fp16", "fp32")
"""Fastest first; each further one is safer."""


def engine_path(model: Path, model_sha256: str, precision: str) -> Path:
    """In the cache, by content: two models of one name do not meet."""
    return cache_dir() / "engines" / f"{model.stem}-{model_sha256[:8]}-{precision}.engine"


def find(model: Path, model_sha256: str, here: Environment, *, precisions: Sequence[str] = PRECISIONS) -> Path:
    """The fastest accepted engine for the model on this machine; raises ModelError with the command that makes one."""
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
