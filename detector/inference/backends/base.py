"""The interface of a backend, which runs a model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from numpy.typing import NDArray

from detector.core.types import Floats, Image
from detector.inference.tensors import TensorSpec

if TYPE_CHECKING:
    from detector.inference.layout import Layout
    from detector.inference.preprocess import Placement
    from detector.inference.spec import InputSpec

Precision = Literal["auto", "fp32", "fp16", "int8"]


class Backend(Protocol):
    """A loaded model; used by one thread at a time."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """Version of the library that runs the model."""
        ...

    @property
    def precision(self) -> str:
        """The precision actually used: fp32, fp16, bf16 or int8."""
        ...

    @property
    def provider(self) -> str:
        """The device or execution provider actually used."""
        ...

    @property
    def digest(self) -> str:
        """sha256 of the model file, hex."""
        ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def metadata(self) -> Mapping[str, str]: ...

    def run(self, tensor: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The outputs for float32 [1,3,H,W], or uint8 [1,H,W,3] if the model takes bytes; valid until the next run.

        Raises InferenceError.
        """
        ...

    def close(self) -> None:
        """Free memory and threads; may be called again."""
        ...


DeviceDetections = tuple[tuple[Floats, Floats], "Placement"]
"""Boxes float32 [N,4] in input px and scores [N], best first, and the picture's placement in the input."""


@runtime_checkable
class PictureBackend(Protocol):
    """A backend that can take whole pictures, and letterbox and decode on its own device."""

    def configure(self, *, layout: Layout, spec: InputSpec, floor: float, iou: float | None) -> bool:
        """Prepare for `infer`; False if it cannot: pictures are then prepared on the CPU and passed to `run`."""
        ...

    @property
    def batch(self) -> int:
        """The largest number of pictures in one run."""
        ...

    def infer(self, images: Sequence[Image]) -> list[DeviceDetections | Exception]:
        """The detections of each picture (at most `batch`), or its error; raises InferenceError if the run failed."""
        ...

    def rerun(self) -> None:
        """Run only the model, on its last input; raises InferenceError."""
        ...


def usable_threads(threads: int) -> int:
    """`threads`, or for 0 the cores that this process may use, at most 4 (more are not faster)."""
    if threads < 0:
        raise ValueError("threads must not be negative")
    return threads or min(4, len(os.sched_getaffinity(0)))
