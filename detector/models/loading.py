"""Loads the detector that the config's model section describes."""

from __future__ import annotations

import atexit
import functools
import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from detector.config.model_settings import Model
from detector.core.errors import ModelError
from detector.core.progress import Progress, quiet
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector, tensorrt_usable
from detector.inference.input_sizes import InputSize
from detector.inference.multi_size import AnyDetector, MultiSizeDetector

from .model_keys import said
from .registry import Resolved, load_registry
from .reload_limit import FallbackLoader

log = logging.getLogger(__name__)

SCORE_FLOOR = 0.1
OpenFile = Callable[[Path], PersonDetector]
FileOf = Callable[[InputSize], "Path | None"]
"""Returns the model's file for an input size, None if there is none (yet); raises ModelError."""


def resolve(model: Model, progress: Progress = quiet) -> Resolved:
    """The model's file, downloaded if necessary; raises ModelError."""
    return load_registry().resolve(model.name, progress)


def loader(model: Model, resolved: Resolved, *, score_floor: float = SCORE_FLOOR) -> Callable[[], PersonDetector]:
    """A function that loads `resolved` unchanged with the settings of `model`; call it in the thread that will own it.

    With `backend: auto` an engine that fails repeatedly is replaced by ONNX Runtime.
    """

    def load() -> PersonDetector:
        return open_file(model, resolved, resolved.path, score_floor=score_floor)

    if model.backend != "auto" or resolved.path.suffix == ".engine":
        return load
    # The configured precision is for the engine.
    cpu = model.model_copy(update={"backend": "onnxruntime", "precision": "auto"})
    return FallbackLoader(load=load, safe=lambda: open_file(cpu, resolved, resolved.path, score_floor=score_floor))


def shaped_loader(
    model: Model, resolved: Resolved, frame_sizes: Sequence[InputSize] = (), *, score_floor: float = SCORE_FLOOR
) -> Callable[[], AnyDetector]:
    """Like `loader`, for a detector that uses the input size that fits each frame, with the class person only.

    Variants that are not in the cache are made, in about a second each. `frame_sizes`, the (width, height) of the
    cameras' frames if known, are loaded by `warm_up`. A model that cannot be edited runs unchanged.
    """
    whole = loader(model, resolved, score_floor=score_floor)

    def load() -> AnyDetector:
        if not shapeable(model, resolved):
            return whole()
        return shaped(
            resolved,
            open_file=lambda path: open_file(model, resolved, path, score_floor=score_floor),
            file_of=lambda shape: made(resolved, shape),
            expected=frame_sizes,
        )

    return load


def shapeable(model: Model, resolved: Resolved) -> bool:
    """Whether the model's graph can be changed: a TensorRT engine was built for one size, whole.

    A model that the config's keys have to describe runs as it is.
    """
    if said(model):
        return False
    if resolved.path.suffix.lower() != ".onnx" or model.backend == "tensorrt":
        return False
    return model.backend != "auto" or not tensorrt_usable()


def shaped(
    resolved: Resolved, *, open_file: OpenFile, file_of: FileOf, expected: Sequence[InputSize] = ()
) -> MultiSizeDetector:
    """The detector with a file per input size from `file_of`; the model's own file is used where there is none."""
    base, spare = _base(resolved, open_file)
    # Of an uncommon one it is not known what another size would change.
    as_it_is = any(not detector.layout.usual for detector in spare)

    def load(shape: InputSize) -> PersonDetector | None:
        path = None
        try:
            path = None if as_it_is else file_of(shape)
        except ModelError as error:
            if shape != base:
                raise
            log.warning("%s", error)
        if path is None and shape != base:
            return None
        if path is not None:
            return open_file(path)
        return spare.pop() if spare else open_file(resolved.path)

    try:
        return MultiSizeDetector(load=load, base=base, expected=expected)
    finally:
        while spare:
            spare.pop().close()


def made(resolved: Resolved, shape: InputSize) -> Path:
    """The exact variant of that size (px), from the cache or made now; raises ModelError."""
    from .graph.variants import CacheError, prepare

    try:
        return prepare(resolved.path, shape=shape, spec=resolved.spec)
    except CacheError:
        # Detections must not depend on whether a folder can be written: `replay` gives the same output everywhere.
        return prepare(resolved.path, shape=shape, spec=resolved.spec, cache=_passing_cache())


@functools.cache
def _passing_cache() -> Path:
    """A cache for this process only."""
    folder = tempfile.mkdtemp(prefix="detector-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _base(resolved: Resolved, open_file: OpenFile) -> tuple[InputSize, list[PersonDetector]]:
    """The model's own size, and the detector if one had to be opened to find it out."""
    if resolved.entry is not None:
        return (resolved.entry.input.width, resolved.entry.input.height), []
    detector = open_file(resolved.path)
    return detector.input_size, [detector]


def open_file(model: Model, resolved: Resolved, path: Path, *, score_floor: float = SCORE_FLOOR) -> PersonDetector:
    """The detector for the file at `path`, a variant of `resolved`, with the settings of `model`; raises ModelError."""
    return load_detector(
        path=path,
        name=resolved.name,
        spec=resolved.spec,
        backend=model.backend,
        precision=model.precision,
        threads=model.threads,
        score_floor=score_floor,
        said=said(model),
    )
