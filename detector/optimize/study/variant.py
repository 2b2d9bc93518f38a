"""A variant: a form of the model's file, and the runtime that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from detector.inference.input_sizes import InputSize

BackendChoice = Literal["onnxruntime", "openvino"]
MODEL = "model"
"""The form's source that is the model itself; any other is the name of a candidate file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantForm:
    """A file made from `source`: `precision` is a key of makers.MAKERS, `shape` width and height in px."""

    shape: InputSize
    precision: str = "fp32"
    person_only: bool = False
    source: str = MODEL

    def __str__(self) -> str:
        head = "person-only" if self.person_only else "whole head"
        source = "" if self.source == MODEL else f"{self.source} "
        return f"{source}{self.precision} {head} {self.shape[0]}x{self.shape[1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """`half`: floats are computed in the half precision that the machine has, whatever the file's own."""

    backend: BackendChoice
    threads: int
    half: bool = False

    @property
    def engine(self) -> str:
        """The library, and the precision that it is told."""
        names = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
        return names[self.backend] + (" half" if self.half else "")

    def __str__(self) -> str:
        return f"{self.engine} {self.threads} thread{'s' * (self.threads != 1)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One cell of the grid."""

    form: VariantForm
    runtime: Runtime

    def __str__(self) -> str:
        return f"{self.form}, {self.runtime}"
