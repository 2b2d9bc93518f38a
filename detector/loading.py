"""From the config's model section to a loaded detector: the registry first, then the backend."""

from __future__ import annotations

from collections.abc import Callable

from .config import Model
from .fetch.progress import Progress, quiet
from .inference.detector import PersonDetector
from .inference.factory import load_detector
from .models import Resolved, load_registry


def resolve(model: Model, progress: Progress = quiet) -> Resolved:
    """The model's file, fetched where it must be; raises ModelError."""
    return load_registry().resolve(model.name, progress)


def loader(model: Model, resolved: Resolved) -> Callable[[], PersonDetector]:
    """What loads `resolved` as `model` asks; called in the thread that will own it."""

    def load() -> PersonDetector:
        return load_detector(
            path=resolved.path,
            name=resolved.name,
            spec=resolved.spec,
            backend=model.backend,
            precision=model.precision,
            threads=model.threads,
        )

    return load
