"""INT8 within a budget: layers are ranked by measurement, and the most sensitive stay in floating point.

For CPUs there are as many forms as runtimes (where the pairs stand decides what a runtime can fuse), and for each
the calibration method that costs least; every form is brought to hold the budget, then the fastest is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import onnx

from detector.core.errors import ModelError
from detector.core.progress import Progress
from detector.core.types import Image
from detector.inference.factory import load_detector
from detector.inference.spec import InputSpec
from detector.models.graph.calibration import Method
from detector.models.graph.qdq import ONNXRUNTIME, OPENVINO, TENSORRT, QdqStyle
from detector.models.graph.quantize import Calibrated

from .budget import Judge, Open, Ruling
from .search import Kept, Made, QuantTrial, Runtime, fewest
from .sensitivity import Probe, Sensitivity, SensitivitySet, measure
from .timing import race

Target = Literal["cpu", "tensorrt"]
_RANKED_BY = 8  # pictures: more change the order little


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Request:
    """What to quantise, and `methods` to try; `work` is a folder for trials, `digest` of model and pictures."""

    model: Path
    name: str
    spec: InputSpec | None
    pictures: Sequence[Image]
    methods: Sequence[Method]
    target: Target
    digest: str
    work: Path
    cache: Path | None = None
    sensitivity: bool = False


def search(task: Int8Request, judge: Judge, report: Progress) -> Made:
    """The fastest form that `judge` accepts; raises ModelError if it accepts none."""
    return _Search(task, judge, report).run()


def opener(
    path: Path, *, name: str, spec: InputSpec | None, runtime: Runtime = "onnxruntime", threads: int = 0
) -> Open:
    """Loads the file at `path` in `runtime`."""
    return lambda floor: load_detector(
        path=path, name=name, spec=spec, backend=runtime, threads=threads, score_floor=floor
    )


def runtimes(path: Path, *, name: str, spec: InputSpec | None) -> list[Runtime]:
    """Those of this machine's CPU that load the file at `path`."""
    both: tuple[Runtime, ...] = ("onnxruntime", "openvino")
    found: list[Runtime] = []
    for runtime in both:
        try:
            opener(path, name=name, spec=spec, runtime=runtime)(0.1).close()
        except ModelError:
            if runtime == "onnxruntime":  # the one that is always there
                raise
        else:
            found.append(runtime)
    return found


def rank(task: Int8Request, layers: Sequence[str], probe: Probe, *, form: str, report: Progress) -> list[Sensitivity]:
    """The layers, the most sensitive first; `form` names what `probe` makes of them."""
    sample = SensitivitySet(
        name=task.name,
        spec=task.spec,
        pictures=task.pictures[:: max(1, len(task.pictures) // _RANKED_BY)][:_RANKED_BY],
        key=f"{task.digest} {form}",
        cache=task.cache,
    )
    return measure(layers, probe, sample, progress=report)


def kept(layers: Sequence[Sensitivity]) -> tuple[Kept, ...]:
    """As they are reported."""
    return tuple(Kept(layer=item.layer, error=round(item.error, 4)) for item in layers)


class _Search:
    def __init__(self, task: Int8Request, judge: Judge, report: Progress) -> None:
        self._task, self._judge, self._report = task, judge, report
        self._source = onnx.load(str(task.model))
        self._trials: list[QuantTrial] = []

    def run(self) -> Made:
        calibrated = {method: self._calibrated(method) for method in self._task.methods}
        found = [each for runtime, form in self._forms() if (each := self._held(runtime, form, calibrated)) is not None]
        if not found:
            last = self._trials[-1]
            raise ModelError(
                f"no int8 form of {self._task.name} holds the budget: with {last.float_layers} layers in floats, "
                f"{last.why}; allow a larger drop, or calibrate on other pictures"
            )
        best = found[0] if len(found) == 1 else self._fastest(found)
        return replace(best, trials=tuple(self._trials))

    def _forms(self) -> list[tuple[Runtime, QdqStyle]]:
        if self._task.target == "tensorrt":
            return [("onnxruntime", TENSORRT)]
        forms: dict[Runtime, QdqStyle] = {"onnxruntime": ONNXRUNTIME, "openvino": OPENVINO}
        able = runtimes(self._task.model, name=self._task.name, spec=self._task.spec)
        return [(runtime, forms[runtime]) for runtime in able]

    def _calibrated(self, method: Method) -> Calibrated:
        return Calibrated.of(
            self._source,
            self._task.pictures,
            spec=self._task.spec,
            method=method,
            signed=self._task.target == "tensorrt",
            progress=lambda done, total: self._report(done, total, f"calibrating ({method})"),
        )

    def _held(self, runtime: Runtime, form: QdqStyle, calibrated: dict[Method, Calibrated]) -> Made | None:
        """The form with the fewest layers in floats that holds the budget, by the best of the methods."""
        make = partial(self._made, form)
        rulings = {method: self._tried(runtime, method, 0, make(each, [])) for method, each in calibrated.items()}
        method = min(rulings, key=lambda each: rulings[each].loss)
        chosen, known = calibrated[method], {0: rulings[method]}
        wanted = self._task.sensitivity or not known[0].holds
        ranked = self._ranked(form, method, chosen) if wanted else []

        def holds(count: int) -> bool:
            if count not in known:
                known[count] = self._tried(runtime, method, count, make(chosen, ranked[:count]))
            return known[count].holds

        # With more than half of them in floats a model is no longer one in INT8, nor any faster.
        count = fewest(len(chosen.layers) // 2, holds)
        if count is None:
            return None
        return Made(
            model=make(chosen, ranked[:count]),
            runtime=runtime,
            method=method,
            layers=len(chosen.layers),
            kept=kept(ranked[:count]),
            sensitivity=kept(ranked),
        )

    def _ranked(self, form: QdqStyle, method: Method, calibrated: Calibrated) -> list[Sensitivity]:
        layers = [layer.name for layer in calibrated.layers]
        return rank(self._task, layers, partial(calibrated.probe, form), form=f"{method} {form}", report=self._report)

    @staticmethod
    def _made(form: QdqStyle, calibrated: Calibrated, kept: Sequence[Sensitivity]) -> onnx.ModelProto:
        floats = calibrated.decoding(0).union(*(calibrated.nodes(item.layer) for item in kept))
        return calibrated.quantised(form, floats)

    def _tried(self, runtime: Runtime, method: Method, count: int, model: onnx.ModelProto) -> Ruling:
        where = "tensorrt" if self._task.target == "tensorrt" else runtime
        self._report(len(self._trials), None, f"trying {where}, {method}, {count} layers in floats")
        ruling = self._judge(self._opener(model, runtime))
        self._trials.append(
            QuantTrial(runtime=where, method=method, float_layers=count, holds=ruling.holds, why=ruling.why)
        )
        return ruling

    def _opener(self, model: onnx.ModelProto, runtime: Runtime, threads: int = 0) -> Open:
        path = self._task.work / f"trial-{runtime}.onnx"
        onnx.save(model, str(path))
        return opener(path, name=self._task.name, spec=self._task.spec, runtime=runtime, threads=threads)

    def _fastest(self, found: list[Made]) -> Made:
        self._report(0, None, "racing the runtimes")
        loaded = [self._opener(each.model, each.runtime, threads=1)(0.1) for each in found]
        try:
            times = race(loaded)
        finally:
            for detector in loaded:
                detector.close()
        return found[times.index(min(times))]
