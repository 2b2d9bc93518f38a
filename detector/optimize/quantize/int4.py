"""INT4 weights under a budget: the layers whose weights matter most stay in floats until it holds."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from detector.core.errors import ModelError
from detector.core.progress import Progress
from detector.models.graph.int4 import eligible, pack, ready

from .budget import Judge, Ruling
from .int8 import Int8Request, opener
from .search import Kept, Trial, fewest
from .sensitivity import Sensitivity, SensitivitySet, measure

_RANKED_BY = 8  # pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class Int4Model:
    """A model with INT4 weights that holds the budget; `products` counts its packed MatMul and Gemm layers."""

    model: onnx.ModelProto
    products: int
    layers: int
    kept: tuple[Kept, ...]
    trials: tuple[Trial, ...]
    ruling: Ruling


def search(task: Int8Request, judge: Judge, report: Progress) -> Int4Model | None:
    """The fewest layers in floats that `judge` lets pass; None where no layer can be packed. Raises ModelError.

    Convolutions are packed for CPUs alone: TensorRT has no INT4 for them.
    """
    source = onnx.load(str(task.model))
    plain = ready(source)
    layers = eligible(plain, convolutions=task.target == "cpu")
    if not layers:
        return None
    trials: list[Trial] = []
    known: dict[int, Ruling] = {}
    ranked: list[Sensitivity] = []

    def made(count: int) -> onnx.ModelProto:
        kept = {item.layer for item in ranked[:count]}
        return pack(plain, [layer for layer in layers if layer not in kept], source=source).model

    def holds(count: int) -> bool:
        if count and not ranked:
            ranked.extend(_ranked(task, plain, source, layers, report))
        report(len(trials), None, f"trying {count} of {len(layers)} layers in floats")
        path = task.work / "trial-int4.onnx"
        onnx.save(made(count), str(path))
        ruling = known[count] = judge(opener(path, name=task.name, spec=task.spec))
        trials.append(Trial(runtime="onnxruntime", method=None, float_layers=count, holds=ruling.holds, why=ruling.why))
        return ruling.holds

    count = fewest(len(layers) - 1, holds)
    if count is None:
        raise ModelError(
            f"no int4 form of {task.name} holds the budget: with all but one of {len(layers)} layers in floats, "
            f"{trials[-1].why}; allow a larger drop"
        )
    packed = pack(
        plain, [layer for layer in layers if layer not in {item.layer for item in ranked[:count]}], source=source
    )
    return Int4Model(
        model=packed.model,
        products=packed.products,
        layers=len(layers),
        kept=tuple(Kept(layer=item.layer, error=round(item.error, 4)) for item in ranked[:count]),
        trials=tuple(trials),
        ruling=known[count],
    )


def _ranked(
    task: Int8Request, plain: onnx.ModelProto, source: onnx.ModelProto, layers: list[str], report: Progress
) -> list[Sensitivity]:
    sample = SensitivitySet(
        name=task.name,
        spec=task.spec,
        pictures=task.pictures[:: max(1, len(task.pictures) // _RANKED_BY)][:_RANKED_BY],
        key=f"{task.digest} int4",
        cache=task.cache,
    )
    return measure(
        layers,
        lambda layer: pack(plain, [layer] if layer else [], source=source).model,
        sample,
        progress=report,
    )
