"""Edits an ONNX file, verifies the result on pictures, and writes it atomically."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from detector.core.errors import InferenceError, ModelError
from detector.core.types import Image
from detector.inference.input_sizes import InputSize
from detector.inference.spec import InputSpec

from . import edit
from .onnx_file import read, writing
from .verify import Difference, difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The edits: another input size (px), without NMS, only the class person, bytes as input."""

    size: InputSize | None = None
    before_nms: bool = False
    person_only: bool = False
    pixels: bool = False


def edited(model: onnx.ModelProto, steps: Steps, spec: InputSpec | None = None) -> onnx.ModelProto:
    """`model` after the steps, in the order of the fields, simplified; raises ModelError."""
    if steps.size is not None:
        model = edit.reshape(model, *steps.size)
    if steps.before_nms and not steps.person_only:  # which cuts the NMS too
        model = edit.before_nms(model)
    if steps.person_only:
        model = edit.person_only(model)
    model = edit.simplified(model)
    return edit.pixels_in(model, spec) if steps.pixels else model


def rewrite(
    source: Path, output: Path, steps: Steps, pictures: Sequence[Image] = (), *, spec: InputSpec | None = None
) -> Difference:
    """Write `source` after the steps to `output`; returns the difference from the model of that size without the others.

    Raises ModelError unless they are equal; without `pictures` generated ones are compared.
    """
    model = read(source)
    sized = model if steps.size is None else edit.reshape(model, *steps.size)
    try:
        with writing(output) as part:
            plain = part.with_suffix(".plain.onnx")
            try:
                onnx.save(sized, str(plain))
                onnx.save(edited(sized, replace(steps, size=None), spec), str(part))
                found = difference(plain, part, pictures, spec=spec)
            finally:
                plain.unlink(missing_ok=True)
            if not found.exact:
                raise ModelError(
                    f"the changed form of {source.name} sees other persons than the model itself ({found.missing} "
                    f"missing, {found.px:.3g} px, {found.score:.3g} in score): nothing was written"
                )
    except InferenceError as error:
        raise ModelError(f"the changed form of {source.name} does not run: {error}") from None
    return found
