"""What detection asks of an engine that runs a model."""

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
    """A loaded model. Used by one thread."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """Of the library that runs the model."""
        ...

    @property
    def precision(self) -> str:
        """What the numbers really are: fp32, fp16, bf16 or int8."""
        ...

    @property
    def provider(self) -> str:
        """Which device or execution provider really runs it."""
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
        """The outputs for float32 [1,3,H,W], or uint8 [1,H,W,3] where the model takes bytes, valid until the next run.

        Raises InferenceError.
        """
        ...

    def close(self) -> None:
        """Lets go of memory and threads; harmless twice."""
        ...


DeviceDetections = tuple[tuple[Floats, Floats], "Placement"]
"""Boxes float32 [N,4] in input px and scores [N], best first, and where the picture sat in the input."""


@runtime_checkable
class PictureBackend(Protocol):
    """A backend that may take pictures whole, and letterbox and decode where it runs the model."""

    def configure(self, *, layout: Layout, spec: InputSpec, floor: float, iou: float | None) -> bool:
        """Get ready for that; False where it cannot, and pictures go the usual way."""
        ...

    @property
    def batch(self) -> int:
        """How many pictures a run may have."""
        ...

    def infer(self, images: Sequence[Image]) -> list[DeviceDetections | Exception]:
        """What is in each picture, at most `batch`, or what is wrong with that one; raises InferenceError for all."""
        ...

    def rerun(self) -> None:
        """The model alone, on what it last read; raises InferenceError."""
        ...


def usable_threads(threads: int) -> int:
    """`threads`, or for 0 as many as pay: the cores this process may use, at most 4."""
    if threads < 0:
        raise ValueError("threads must not be negative")
    return threads or min(4, len(os.sched_getaffinity(0)))
