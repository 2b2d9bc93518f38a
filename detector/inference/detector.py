"""The person detector: preprocessing, model and decoding."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.core.errors import InferenceError, ModelError
from detector.core.types import ArrayImage, Detections, Floats, Frame, Image

from .acceptance import accepted_layout
from .backends.base import Backend, DeviceDetections, PictureBackend
from .decode import make_decoder
from .layout import Layout, default_spec, is_yolox
from .preprocess import Letterbox, Placement
from .spec import InputSpec, from_metadata

_GREY = 114
Result = tuple[Floats, Floats, float]
"""Boxes float32 [N,4] source px, scores float32 [N] best first, ms of only the model run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """Times of the last picture, ms."""

    preprocess_ms: float
    infer_ms: float
    decode_ms: float


class PersonDetector:
    """Detects persons in pictures. Owns `backend`; not thread-safe.

    `spec` None takes what the metadata says, else what models of the graph's layout are commonly trained with.
    `said` is laid over the file's metadata (see `model_metadata`). The model runs once on drawn content. Raises
    ModelError on a graph whose outputs are not understood, and where its input's preparation has to be given.
    """

    def __init__(
        self,
        *,
        model_name: str,
        backend: Backend,
        spec: InputSpec | None = None,
        score_floor: float = 0.1,
        said: Mapping[str, str] | None = None,
    ) -> None:
        if not 0.0 <= score_floor <= 1.0:
            raise ValueError("score_floor must lie in 0..1")
        self.model_name = model_name
        self.score_floor = score_floor
        metadata = {**backend.metadata, **(said or {})}
        # What an engine was built from ran before it was built.
        self.layout = accepted_layout(backend, metadata, first_run=not isinstance(backend, PictureBackend))
        operators: frozenset[str] = getattr(backend, "operators", frozenset())
        self.spec = _input_spec(self.layout, (backend.metadata, said or {}), spec, operators)
        self._backend = backend
        self._letterbox = Letterbox(
            width=self.layout.width,
            height=self.layout.height,
            spec=self.spec,
            pixels=self.layout.pixels,
            rgb_bytes=self.layout.rgb_bytes and self.spec.color == "rgb",
        )
        self._decode = make_decoder(self.layout, iou=self.layout.iou)
        self._device: PictureBackend | None = None
        if isinstance(backend, PictureBackend) and backend.configure(
            layout=self.layout, spec=self.spec, floor=score_floor, iou=self.layout.iou
        ):
            self._device = backend
        self._tensor: NDArray[Any] | None = None
        self._times = StageTimes(preprocess_ms=0.0, infer_ms=0.0, decode_ms=0.0)

    @property
    def backend(self) -> str:
        return self._backend.name

    @property
    def backend_version(self) -> str:
        return self._backend.version

    @property
    def precision(self) -> str:
        return self._backend.precision

    @property
    def provider(self) -> str:
        return self._backend.provider

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height in px."""
        return self.layout.width, self.layout.height

    @property
    def engine_key(self) -> str:
        """16 hex digits that change with the model file, the engine, its version and the precision."""
        parts = (self._backend.digest, self.backend, self._backend.version, self.provider, self.precision)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    @property
    def note(self) -> str | None:
        """Why no faster engine is used, if the backend knows."""
        return getattr(self._backend, "note", None)

    @property
    def max_batch(self) -> int:
        """Pictures per run: more than one only for an engine built so; on a CPU it would not be faster."""
        return 1 if self._device is None else self._device.batch

    @property
    def last_times(self) -> StageTimes:
        return self._times

    def detect(self, frame: Frame) -> Detections:
        """The persons in `frame`, boxes in source px, best first; raises InferenceError."""
        boxes, scores, infer_ms = self.detect_image(frame.image)
        return Detections(frame=frame, boxes=boxes, scores=scores, infer_ms=infer_ms)

    def detect_many(self, frames: Sequence[Frame]) -> list[Detections | Exception]:
        """Like `detect` for each frame, `max_batch` of them in one run.

        An error of a single frame is returned in its place; raises InferenceError if a run failed.
        """
        return [
            found
            if isinstance(found, Exception)
            else Detections(frame=frame, boxes=found[0], scores=found[1], infer_ms=found[2])
            for frame, found in zip(frames, self.detect_images([frame.image for frame in frames]), strict=True)
        ]

    def detect_images(self, images: Sequence[Image]) -> list[Result | Exception]:
        """Like `detect_many`, for pictures; the ms are those of the whole run."""
        if self._device is None:
            return [self._detect_or_error(image) for image in images]
        most, found = self.max_batch, []
        for first in range(0, len(images), most):
            found += self._detect_on_device(self._device, images[first : first + most])
        return found

    def detect_image(self, image: Image) -> Result:
        """Boxes float32 [N,4] source px, scores float32 [N] best first, ms of only the model run.

        Raises InferenceError.
        """
        if self._device is None:
            return self._detect_on_cpu(image)
        (found,) = self._detect_on_device(self._device, [image])
        if isinstance(found, Exception):
            raise found
        return found

    def _detect_or_error(self, image: Image) -> Result | Exception:
        try:
            return self._detect_on_cpu(image)
        except Exception as error:  # the conversion of a camera's picture may fail in any way
            return error

    def _detect_on_cpu(self, image: Image) -> Result:
        """Letterbox and decode on the CPU."""
        begun = time.perf_counter()
        self._tensor, placement = self._letterbox(image)
        prepared = time.perf_counter()
        outputs = self._backend.run(self._tensor)
        inferred = time.perf_counter()
        boxes, scores = _in_source(*self._decode(outputs, self.score_floor), placement)
        self._note_times(begun, prepared, inferred)
        return boxes, scores, self._times.infer_ms

    def _detect_on_device(self, device: PictureBackend, images: Sequence[Image]) -> list[Result | Exception]:
        """One wait for all stages, so their times cannot be measured separately."""
        begun = time.perf_counter()
        seen = device.infer(images)
        inferred = time.perf_counter()
        found = [_result(each, (inferred - begun) * 1e3) for each in seen]
        self._note_times(begun, begun, inferred)
        return found

    def _note_times(self, begun: float, prepared: float, inferred: float) -> None:
        self._times = StageTimes(
            preprocess_ms=(prepared - begun) * 1e3,
            infer_ms=(inferred - prepared) * 1e3,
            decode_ms=(time.perf_counter() - inferred) * 1e3,
        )

    def warm_up(self) -> float:
        """Run grey pictures, so that the first real ones are not slow; returns ms of one. Raises InferenceError."""
        grey = ArrayImage(np.full((self.layout.height, self.layout.width, 3), _GREY, np.uint8))
        # Each batch size is set up at its first run.
        for count in range(self.max_batch, 1, -1):
            for found in self.detect_images([grey] * count):
                if isinstance(found, Exception):
                    raise found
        return self.detect_image(grey)[2]

    def run_bare(self) -> float:
        """Run only the backend on the last picture's tensor; returns ms, to compare the pipeline with."""
        if self._device is not None:
            begun = time.perf_counter()
            self._device.rerun()
            return (time.perf_counter() - begun) * 1e3
        if self._tensor is None:
            raise InferenceError("no picture was detected yet: nothing to run")
        begun = time.perf_counter()
        self._backend.run(self._tensor)
        return (time.perf_counter() - begun) * 1e3

    def close(self) -> None:
        """Free the model; may be called again."""
        self._backend.close()


def _result(seen: DeviceDetections | Exception, ms: float) -> Result | Exception:
    if isinstance(seen, Exception):
        return seen
    (boxes, scores), placement = seen
    return (*_in_source(boxes, scores, placement), ms)


def _in_source(boxes: Floats, scores: Floats, placement: Placement) -> tuple[Floats, Floats]:
    """Boxes in input px to source px; boxes only in the padding are removed."""
    if not scores.size:
        return boxes, scores
    boxes = placement.to_source(boxes)
    real = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return (boxes, scores) if real.all() else (boxes[real], scores[real])


def _input_spec(
    layout: Layout, sayings: Sequence[Mapping[str, str]], known: InputSpec | None, operators: frozenset[str]
) -> InputSpec:
    """`known`, or the family's own, with what is said of it, the last word last; raises ModelError where nothing is."""
    spec = known
    for said in sayings:
        spec = from_metadata(said, spec or default_spec(layout)) or spec
    if spec is None and layout.asks and not is_yolox(layout, operators):
        raise ModelError(
            f"nothing says how this model's pictures are prepared ({layout.asks}): "
            "say it: model.input: {color: rgb or bgr, scale: 1 or 1/255, mean: [..], std: [..], "
            "placement: center, top-left or stretch}"
        )
    return spec or default_spec(layout)
