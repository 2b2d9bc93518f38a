"""One model in several input sizes: each picture is detected in the one that fits its aspect ratio."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from detector.core.errors import ModelError
from detector.core.types import Detections, Floats, Frame, Image

from .detector import PersonDetector, StageTimes
from .input_sizes import InputSize, best_input_size
from .layout import Layout
from .spec import InputSpec

LoadInputSize = Callable[[InputSize], PersonDetector | None]
"""Returns None if there is no model of that size; raises ModelError if it cannot be loaded."""

log = logging.getLogger(__name__)


def _of_last(name: str) -> Any:
    return property(lambda self: getattr(self._last, name))


class MultiSizeDetector:
    """One PersonDetector per size, each loaded by `load` when first needed; not thread-safe.

    `base` is the model's own size in px; `expected` are the (width, height) of the frames to come: `warm_up` loads
    their sizes, so that no camera waits for a model. ONNX Runtime's sessions share nothing: each size has its own
    weights and buffers. A missing size is replaced by `base`. Properties are those of the size used last. Raises
    ModelError if even `base` cannot be loaded.
    """

    # Of the size used last.
    model_name: str = _of_last("model_name")
    score_floor: float = _of_last("score_floor")
    layout: Layout = _of_last("layout")
    spec: InputSpec = _of_last("spec")
    backend: str = _of_last("backend")
    backend_version: str = _of_last("backend_version")
    precision: str = _of_last("precision")
    provider: str = _of_last("provider")
    input_size: InputSize = _of_last("input_size")
    engine_key: str = _of_last("engine_key")
    last_times: StageTimes = _of_last("last_times")
    note: str | None = _of_last("note")
    max_batch: int = _of_last("max_batch")

    def __init__(self, *, load: LoadInputSize, base: InputSize, expected: Sequence[InputSize] = ()) -> None:
        self._load, self._base, self._expected = load, base, tuple(expected)
        self._detectors: dict[InputSize, PersonDetector] = {}
        self._closed = False
        first = best_input_size(base, *self._expected[0]) if self._expected else base
        self._last = self._of(first)

    @property
    def base(self) -> InputSize:
        """Width and height in px that the model was made for."""
        return self._base

    @property
    def shapes(self) -> tuple[InputSize, ...]:
        """The sizes that are loaded, in px."""
        return tuple(dict.fromkeys(detector.input_size for detector in self._detectors.values()))

    def detect_many(self, frames: Sequence[Frame]) -> list[Detections | Exception]:
        """Like PersonDetector.detect_many; frames of one size run together."""
        by_size: dict[PersonDetector, list[int]] = {}
        for index, frame in enumerate(frames):
            by_size.setdefault(self._for(frame.image), []).append(index)
        found: dict[int, Detections | Exception] = {}
        for detector, indices in by_size.items():
            found.update(zip(indices, detector.detect_many([frames[index] for index in indices]), strict=True))
        return [found[index] for index in range(len(frames))]

    def detect(self, frame: Frame) -> Detections:
        """Like PersonDetector.detect."""
        return self._for(frame.image).detect(frame)

    def detect_image(self, image: Image) -> tuple[Floats, Floats, float]:
        """Like PersonDetector.detect_image."""
        return self._for(image).detect_image(image)

    def warm_up(self) -> float:
        """Load the sizes of `expected` and run a grey picture in all loaded ones; returns ms of the slowest."""
        for size in self._expected:
            self._of(best_input_size(self._base, *size))
        return max(detector.warm_up() for detector in set(self._detectors.values()))

    def run_bare(self) -> float:
        """Like PersonDetector.run_bare, for the size used last."""
        return self._last.run_bare()

    def close(self) -> None:
        """Free all sizes; may be called again. Nothing is loaded afterwards."""
        self._closed = True
        for detector in self._detectors.values():
            detector.close()

    def _for(self, image: Image) -> PersonDetector:
        self._last = self._of(best_input_size(self._base, image.width, image.height))
        return self._last

    def _of(self, shape: InputSize) -> PersonDetector:
        known = self._detectors.get(shape)
        if known is None and not self._closed:
            known = self._detectors[shape] = self._loaded(shape)
        return known or self._last  # closed: the backend says so

    def _loaded(self, shape: InputSize) -> PersonDetector:
        try:
            found = self._load(shape)
        except ModelError as error:
            if shape == self._base:
                raise
            log.warning("%s; %d x %d px is used instead", error, *self._base)
            found = None
        if found is None and shape == self._base:
            raise ModelError("the model's own size is missing")
        return found or self._of(self._base)


AnyDetector = PersonDetector | MultiSizeDetector
