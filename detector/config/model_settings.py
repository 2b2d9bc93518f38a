"""The section `model`: which model, how it is run, and what its inputs and outputs mean."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from .section import ConfigSection
from .value_types import (
    Text,
    fraction,
)

BackendName = Literal["auto", "tensorrt", "onnxruntime", "openvino"]
Precision = Literal["auto", "fp32", "fp16", "int8"]
_Number = Annotated[float, BeforeValidator(fraction)]
_Positive = Annotated[float, BeforeValidator(fraction), Field(gt=0.0)]
_Side = Annotated[int, Field(ge=32, le=8192)]


class ModelInput(ConfigSection):
    """How a model that the registry does not know wants its pictures; what is left out is its family's usual."""

    size: _Side | tuple[_Side, _Side] | None = Field(
        default=None, description="width and height in px, of a model that takes any"
    )
    color: Literal["rgb", "bgr"] | None = None
    scale: Annotated[float, BeforeValidator(fraction), Field(gt=0.0, le=1.0)] | None = Field(
        default=None, description="multiplies pixels of 0..255: 1, or 1/255 for values of 0..1"
    )
    mean: tuple[_Number, _Number, _Number] | None = Field(
        default=None, description="subtracted per channel after scale, in the order of color"
    )
    std: tuple[_Positive, _Positive, _Positive] | None = Field(default=None, description="divides per channel")
    pad: int | None = Field(default=None, ge=0, le=255, description="grey level around the picture")
    placement: Literal["center", "top-left", "stretch"] | None = None


class ModelOutput(ConfigSection):
    """What a model's outputs mean where its shapes and numbers do not tell."""

    layout: Text | None = Field(default=None, description="a layout's name, as `detector models inspect` gives it")
    boxes: Literal["xyxy", "cxcywh", "yxyx"] | None = None
    units: Literal["px", "share"] | None = Field(default=None, description="share: 0..1 of the input's sides")
    scores: Literal["none", "sigmoid", "softmax"] | None = Field(
        default=None, description="what turns the scores into 0..1"
    )


class Model(ConfigSection):
    name: Text = Field(
        default="yolox-tiny-person", min_length=1, description="a name of the registry, or the path of a model file"
    )
    backend: BackendName = "auto"
    precision: Precision = "auto"
    threads: int = Field(
        default=0, ge=0, le=64, description="CPU threads of the model; 0: chosen for this machine, at most 4"
    )
    person_class: Annotated[int, Field(ge=0, strict=True)] | Text | None = Field(
        default=None, description="the person's class by name or number, where the model's own names do not say person"
    )
    input: ModelInput = ModelInput()
    output: ModelOutput = ModelOutput()
    probe: bool = Field(
        default=True,
        description="show it a picture with and one without a person before it serves; false: a special model",
    )
