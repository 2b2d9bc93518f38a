"""INT4 weights within a budget: the layers with the most important weights stay in floating point."""

from __future__ import annotations

import onnx

from detector.core.errors import ModelError
from detector.core.progress import Progress
from detector.models.graph.int4 import Packed, eligible, pack, ready

from .budget import Judge
from .int8 import Int8Request, kept, opener, rank
from .search import Made, QuantTrial, fewest
from .sensitivity import Sensitivity


def search(task: Int8Request, judge: Judge, report: Progress) -> Made | None:
    """The fewest layers in floats that `judge` lets pass; None where no layer can be packed. Raises ModelError.

    Convolutions are packed for CPUs alone: TensorRT has no INT4 for them.
    """
    source = onnx.load(str(task.model))
    plain = ready(source)
    layers = eligible(plain, convolutions=task.target == "cpu")
    if not layers:
        return None
    trials: list[QuantTrial] = []
    ranked: list[Sensitivity] = []

    def probe(layer: str | None) -> onnx.ModelProto:
        return pack(plain, [layer] if layer else [], source=source).model

    def packed(count: int) -> Packed:
        kept = {item.layer for item in ranked[:count]}
        return pack(plain, [layer for layer in layers if layer not in kept], source=source)

    def holds(count: int) -> bool:
        if (count or task.sensitivity) and not ranked:
            ranked.extend(rank(task, layers, probe, form="int4", report=report))
        report(len(trials), None, f"trying {count} of {len(layers)} layers in floats")
        path = task.work / "trial-int4.onnx"
        onnx.save(packed(count).model, str(path))
        ruling = judge(opener(path, name=task.name, spec=task.spec))
        trials.append(
            QuantTrial(runtime="onnxruntime", method=None, float_layers=count, holds=ruling.holds, why=ruling.why)
        )
        return ruling.holds

    count = fewest(len(layers) - 1, holds)
    if count is None:
        raise ModelError(
            f"no int4 form of {task.name} holds the budget: with all but one of {len(layers)} layers in floats, "
            f"{trials[-1].why}; allow a larger drop"
        )
    found = packed(count)
    notes = () if found.products else ("no eligible MatMul or Gemm layers: INT4 saves storage here, not time",)
    return Made(
        model=found.model,
        layers=len(layers),
        kept=kept(ranked[:count]),
        sensitivity=kept(ranked),
        trials=tuple(trials),
        notes=(*notes, "for ONNX Runtime: OpenVINO does not read it"),
    )
