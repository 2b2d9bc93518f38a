"""From the config's model section to a loaded detector: the registry first, then the backend."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from .config import Model
from .errors import ModelError
from .fetch.progress import Progress, quiet
from .inference.detector import PersonDetector
from .inference.factory import load_detector
from .inference.shaped import ShapedDetector
from .inference.shapes import Shape
from .models import Resolved, load_registry
from .reloads import BoundedLoad

log = logging.getLogger(__name__)


def resolve(model: Model, progress: Progress = quiet) -> Resolved:
    """The model's file, fetched where it must be; raises ModelError."""
    return load_registry().resolve(model.name, progress)


def loader(model: Model, resolved: Resolved) -> Callable[[], PersonDetector]:
    """What loads `resolved` as `model` asks; called in the thread that will own it.

    With `backend: auto` an engine that fails again and again gives way to ONNX Runtime.
    """

    def load() -> PersonDetector:
        return _load(model, resolved, resolved.path)

    if model.backend != "auto" or resolved.path.suffix == ".engine":
        return load
    # What precision was wanted was wanted of the engine.
    cpu = model.model_copy(update={"backend": "onnxruntime", "precision": "auto"})
    return BoundedLoad(load=load, safe=lambda: _load(cpu, resolved, resolved.path))


def shaped_loader(model: Model, resolved: Resolved, frame_sizes: Sequence[Shape] = ()) -> Callable[[], ShapedDetector]:
    """As `loader`, for a detector that takes each frame in the shape that fits it, persons only.

    `frame_sizes`, the (width, height) of the cameras' frames where known, are loaded by `warm_up`. A model that
    is not understood well enough to be changed runs as it is.
    """

    def load() -> ShapedDetector:
        base = _base(model, resolved)
        return ShapedDetector(
            load=lambda shape: _load_shape(model, resolved, shape, base), base=base, expected=frame_sizes
        )

    return load


def _load_shape(model: Model, resolved: Resolved, shape: Shape, base: Shape) -> PersonDetector:
    from .graph.prepare import prepare

    path = resolved.path
    if path.suffix != ".onnx":  # an engine is built for one size
        return _load(model, resolved, path)
    try:
        path = prepare(path, shape=shape, spec=resolved.spec)
    except ModelError as error:
        if shape != base:
            raise
        log.warning("%s", error)
    return _load(model, resolved, path)


def _base(model: Model, resolved: Resolved) -> Shape:
    if resolved.entry is not None:
        return resolved.entry.input.width, resolved.entry.input.height
    detector = _load(model, resolved, resolved.path)
    detector.close()
    return detector.input_size


def _load(model: Model, resolved: Resolved, path: Path) -> PersonDetector:
    return load_detector(
        path=path,
        name=resolved.name,
        spec=resolved.spec,
        backend=model.backend,
        precision=model.precision,
        threads=model.threads,
    )
