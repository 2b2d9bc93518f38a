"""The input that a model expects: the part of a registry entry for preprocessing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """Letterbox and value range of a model's input.

    `scale` multiplies 0..255 pixel values (1/255 for models that take 0..1); `pad` is the grey
    level (0..255, before `scale`) around the picture; `placement` is the picture's position: "stretch" fills the
    input without padding.
    """

    color: Literal["rgb", "bgr"]
    scale: float
    pad: int = 114
    placement: Literal["center", "top-left", "stretch"] = "center"
