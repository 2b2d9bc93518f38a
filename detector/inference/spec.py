"""How a model wants its picture: the part of a registry entry that preprocessing needs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from detector.core.errors import ModelError

INPUT = "detector.input"
"""The metadata key of a model's InputSpec, as a JSON object of its fields; a part of them is allowed."""

Channels = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """Letterbox and value range of a model's input.

    A value of the input is `(pixel * scale - mean) / std`, pixel in 0..255; `mean` and `std` are per channel in
    the order of `color`, in units of the scaled pixel; None leaves them out. `pad` is the grey level (0..255, treated
    as a pixel) around the picture; `placement` says where the picture sits: stretched, it
    fills the input and there is no padding.
    """

    color: Literal["rgb", "bgr"]
    scale: float
    pad: int = 114
    placement: Literal["center", "top-left", "stretch"] = "center"
    mean: Channels | None = None
    std: Channels | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            value = getattr(self, name)
            if value is not None:  # JSON gives lists
                object.__setattr__(self, name, tuple(value))

    @property
    def normalised(self) -> bool:
        """Whether there is a mean or standard deviation."""
        return self.mean is not None or self.std is not None

    def affine(self) -> tuple[Channels, Channels]:
        """Factor and summand per channel, in the order of `color`: input = pixel * factor + summand."""
        mean, std = self.mean or (0.0, 0.0, 0.0), self.std or (1.0, 1.0, 1.0)
        first, second, third = (
            (self.scale / deviation, -middle / deviation) for middle, deviation in zip(mean, std, strict=True)
        )
        return (first[0], second[0], third[0]), (first[1], second[1], third[1])


def from_metadata(metadata: Mapping[str, str], usual: InputSpec) -> InputSpec | None:
    """`usual` with what the metadata's `detector.input` says; None where it says nothing. Raises ModelError."""
    text = metadata.get(INPUT)
    if text is None:
        return None
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ModelError(f"this model's metadata {INPUT} is no JSON object: write it as {to_metadata(usual)}")
    return changed(usual, said)


def changed(usual: InputSpec, said: Mapping[str, Any]) -> InputSpec:
    """`usual` with the fields of `said`; raises ModelError that names a wrong one."""
    known = {field.name for field in fields(InputSpec)}
    values = asdict(usual)
    for name, value in said.items():
        if name not in known or not _valid(name, value):
            raise ModelError(f"{INPUT}: {name} = {value!r} is not understood: as an example, {to_metadata(usual)}")
        values[name] = value
    return InputSpec(**values)


def to_metadata(spec: InputSpec) -> str:
    """The text that `from_metadata` reads."""
    return json.dumps({name: value for name, value in asdict(spec).items() if value is not None})


def _valid(name: str, value: Any) -> bool:
    if name == "color":
        return value in ("rgb", "bgr")
    if name == "placement":
        return value in ("center", "top-left", "stretch")
    if name in ("mean", "std"):
        return value is None or (
            isinstance(value, (list, tuple))
            and len(value) == 3
            and all(_number(each) and (name == "mean" or each > 0) for each in value)
        )
    if not _number(value):
        return False
    return bool(0 < value <= 1) if name == "scale" else isinstance(value, int) and 0 <= value <= 255


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
