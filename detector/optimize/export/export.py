"""Exports a checkpoint to an ONNX file, which is kept only if it gives PyTorch's results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from detector.core.errors import ModelError
from detector.core.progress import Progress
from detector.core.types import Image
from detector.inference.input_sizes import InputSize
from detector.models.graph import edit
from detector.models.graph.onnx_file import writing

from .agreement import MAX_PX, MAX_SCORE, Agreement, agreement
from .trace import trace
from .traceable import Network

_MULTIPLE = 32  # the coarsest grid's stride


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Of the ONNX file: size in px, how many pictures at once (0: any number), persons alone, bytes in."""

    size: InputSize
    batch: int = 1
    person_only: bool = False
    pixels: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """`checked` is None where the file takes several pictures at once: the service runs one."""

    layout: str
    nodes: int
    size: int
    steps: str
    checked: Agreement | None


def export(
    network: Network,
    form: ExportOptions,
    output: Path,
    pictures: Sequence[Image],
    *,
    report: Progress = lambda *_: None,
) -> Exported:
    """Writes `network` to `output`, compared with PyTorch on `pictures`; raises ModelError and writes nothing else."""
    width, height = form.size
    if width % _MULTIPLE or height % _MULTIPLE or min(form.size) < _MULTIPLE:
        raise ModelError(f"{width} x {height} px is no input size: both must be multiples of {_MULTIPLE}")
    if form.pixels and form.batch != 1:
        raise ModelError("preprocessing can be folded in for one picture at a time alone: leave out --batch")
    report(0, 3, "tracing")
    model = _finished(trace(network, width=width, height=height, batch=form.batch), network, form)
    report(1, 3, "comparing with PyTorch")
    with writing(output) as part:
        onnx.save(model, str(part))
        checked = agreement(part, network.rows, pictures) if form.batch <= 1 else None
        if checked is not None and not checked.good:
            raise ModelError(_refusal(checked))
    report(3, 3, "done")
    return Exported(
        layout=edit.layout_of(model).kind if form.batch <= 1 else network.head,
        nodes=len(model.graph.node),
        size=output.stat().st_size,
        steps=edit.steps_of(model),
        checked=checked,
    )


def _finished(model: onnx.ModelProto, network: Network, form: ExportOptions) -> onnx.ModelProto:
    """What the graph's own edits can do better than the network's cut: boxes for the chosen cells alone; bytes in."""
    if form.person_only and network.head == "nms-free" and form.batch == 1:
        model = edit.simplified(edit.person_only(model))
    return edit.pixels_in(model) if form.pixels else model


def _refusal(checked: Agreement) -> str:
    if not checked.persons:
        return "the exported model gives no boxes at all: nothing to compare with PyTorch, nothing was written"
    return (
        f"the exported model differs from PyTorch by {checked.px:.3g} px and {checked.score:.3g} in score, "
        f"{checked.missing} persons missing (allowed: {MAX_PX} px, {MAX_SCORE:g}, none): nothing was written"
    )
