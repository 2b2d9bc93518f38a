"""Searches for the fewest layers in floating point with which a model is within its budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import onnx


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A layer that stayed in floats; `error` of the persons seen with this layer alone made smaller."""

    layer: str
    error: float


Runtime = Literal["onnxruntime", "openvino"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantTrial:
    """One model that was judged: how many of the most sensitive layers were in floats, and what came of it."""

    runtime: str
    method: str | None
    float_layers: int
    holds: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A model that held on the pictures that choose; `runtime` is what it is placed for, `layers` could have been made
    smaller, `sensitivity` is the error of each of them alone, the largest first, where it was measured.
    """

    model: onnx.ModelProto
    runtime: Runtime = "onnxruntime"
    method: str | None = None
    layers: int | None = None
    kept: tuple[Kept, ...] = ()
    kept_fp32: tuple[str, ...] = ()
    trials: tuple[QuantTrial, ...] = ()
    sensitivity: tuple[Kept, ...] = ()
    notes: tuple[str, ...] = ()


def fewest(most: int, holds: Callable[[int], bool]) -> int | None:
    """The smallest number up to `most` for which `holds`, as if it stayed true from there on; None where not even `most`.

    Doubles until it holds, then bisects: about 2 log2(answer) calls, each for another number. Budgets are not
    quite monotonous, so a smaller one may hold that was not asked about; the answer itself was asked about.
    """
    below, above = -1, 0
    while not holds(above):
        if above == most:
            return None
        below, above = above, min(most, max(1, 2 * above))
    while above - below > 1:
        middle = (below + above) // 2
        if holds(middle):
            above = middle
        else:
            below = middle
    return above
