"""Quantises one model: FP16, INT8 within a budget, or INT4 weights; measured before and after, written atomically."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import onnx

from detector.capture.pictures import fingerprint
from detector.core.errors import ModelError
from detector.core.files import PUBLIC, write_atomically
from detector.core.progress import Progress
from detector.core.types import Image
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.spec import InputSpec
from detector.models.accuracy.average_precision import read_truth
from detector.models.accuracy.gate import LabelledPictures
from detector.models.accuracy.holdout import CALIBRATE, chooser, keep_apart, roles
from detector.models.graph import fp16
from detector.models.graph.calibration import Method

from . import int4, int8
from .budget import ByAgreement, ByTruth, Judge, Open, Ruling
from .int8 import Int8Request, Target, opener
from .search import Kept, Made, QuantTrial, Runtime
from .timing import race

Precision = Literal["fp16", "int8", "int4"]
METHODS: tuple[Method, ...] = ("min-max", "percentile", "entropy")
_SHOW = 8  # pictures that show how large numbers grow, or which layers matter, where nothing is calibrated


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeRequest:
    """What to do. `pictures` calibrate and choose, and a part of them judges where there is no `truth`.

    None of those that judge calibrates or chooses. `methods` are tried, the best is taken. With `sensitivity` each
    layer's is measured, also where nothing has to stay in floats.
    """

    model: Path
    name: str
    spec: InputSpec | None
    precision: Precision
    target: Target
    output: Path
    pictures: Sequence[Image]
    methods: Sequence[Method] = METHODS
    truth: LabelledPictures | None = None
    max_ap_drop: float = 0.5
    sensitivity: bool = False
    cache: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeResult:
    """`ms_*` are bare runs, one thread, of the fp32 model in ONNX Runtime and of the result in `runtime`, in turns;

    None for TensorRT, which times on its own GPU. `ap_*` 0..1 where there was ground truth. `layers` counts what could
    have been made smaller, `kept` what was left in floats for its error. `persons`, `missed`, `extra`: against the
    original's, where there was no ground truth.
    """

    output: Path
    precision: Precision
    target: Target
    runtime: str
    why: str
    bytes_before: int
    bytes_after: int
    ms_before: float | None
    ms_after: float | None
    ap_before: float | None
    ap_after: float | None
    ap_drop_bound: float | None
    persons: int | None
    missed: int | None
    extra: int | None
    method: str | None
    layers: int | None
    kept: tuple[Kept, ...]
    kept_fp32: tuple[str, ...]
    trials: tuple[QuantTrial, ...]
    sensitivity: tuple[Kept, ...]
    judging_pictures: int
    calibration_pictures: int
    calibration_sha256: str | None
    notes: tuple[str, ...]

    @property
    def ratio(self) -> float | None:
        """Time after over time before."""
        return None if not self.ms_before or self.ms_after is None else self.ms_after / self.ms_before


def quantize(order: QuantizeRequest, report: Progress) -> QuantizeResult | None:
    """Makes, judges and measures it; None where nothing in the model could be made INT4, and nothing was written.

    INT8 and INT4 are brought to hold the budget or refused, FP16 is judged by it. Raises ModelError; the output is
    written last, at once.
    """
    if inspect(order.model).precision != "fp32":
        raise ModelError(f"{order.model.name} is an {inspect(order.model).precision} model already: give the fp32 one")
    try:
        with tempfile.TemporaryDirectory(prefix="detector-") as folder:
            return _Work(order, Path(folder), report).run()
    except OSError as error:
        place = error.filename or order.output.parent
        raise ModelError(f"nothing was written: {place}: {error.strerror or error}") from None


class _Work:
    def __init__(self, order: QuantizeRequest, folder: Path, report: Progress) -> None:
        self._order, self._folder, self._report = order, folder, report
        self._divided = _divided(order, report)
        self._source = onnx.load(str(order.model))
        self._before = self._opener(order.model, "onnxruntime")

    def run(self) -> QuantizeResult | None:
        self._report(0, None, "judging the original")
        gate = self._gate()
        if self._order.precision == "fp16":
            made: Made | None = self._fp16()
        else:
            search = int8.search if self._order.precision == "int8" else int4.search
            made = search(self._task(), ByAgreement(self._before, self._divided.choose, proof=False), self._report)
        return None if made is None else self._finished(made, gate)

    def _gate(self) -> Judge:
        truth = self._divided.truth
        if truth is not None:
            return ByTruth(self._before, truth, max_ap_drop=self._order.max_ap_drop)
        return ByAgreement(self._before, self._divided.judge)

    def _fp16(self) -> Made:
        order = self._order
        self._report(0, None, "casting")
        model, large = fp16.half(self._source, self._divided.calibrate[:16], name=order.name, spec=order.spec)
        return Made(model=model, kept_fp32=tuple(large))

    def _task(self) -> Int8Request:
        order = self._order
        return Int8Request(
            model=order.model,
            name=order.name,
            spec=order.spec,
            pictures=self._divided.calibrate,
            methods=order.methods,
            target=order.target,
            digest=f"{inspect(order.model).digest} {fingerprint(self._divided.calibrate)}",
            work=self._folder,
            cache=order.cache,
            sensitivity=order.sensitivity,
        )

    def _finished(self, made: Made, gate: Judge) -> QuantizeResult:
        """Judges it once, by pictures that had no part in making it, and writes it if it holds."""
        order = self._order
        path = self._folder / "made.onnx"
        onnx.save(made.model, str(path))
        self._report(0, None, "judging")
        ruling = gate(self._opener(path, made.runtime))
        if not ruling.holds:
            raise ModelError(
                f"{order.name} in {order.precision}: {ruling.why}; nothing was written: {self._advice(ruling)}"
            )
        times = None if order.target == "tensorrt" else self._raced(path, made.runtime)
        ratio = None if times is None else times[1] / times[0]
        notes = (self._divided.note, *made.notes)
        if ratio is not None and ratio > 1.0 and order.precision != "int4":
            notes = (*notes, f"it does not pay on this CPU: {ratio:.2f} times the original's time")
        write_atomically(order.output, path.read_bytes(), mode=PUBLIC)
        verdict = ruling.verdict
        used = self._divided.calibrate if order.precision == "int8" else ()
        return QuantizeResult(
            output=order.output,
            precision=order.precision,
            target=order.target,
            runtime="tensorrt" if order.target == "tensorrt" else made.runtime,
            why=ruling.why,
            bytes_before=order.model.stat().st_size,
            bytes_after=order.output.stat().st_size,
            ms_before=None if times is None else round(times[0], 3),
            ms_after=None if times is None else round(times[1], 3),
            ap_before=gate.ap if isinstance(gate, ByTruth) else None,
            ap_after=ruling.ap,
            ap_drop_bound=ruling.ap_drop_bound,
            persons=None if verdict is None else verdict.persons,
            missed=None if verdict is None else verdict.missed,
            extra=None if verdict is None else verdict.extra,
            method=made.method,
            layers=made.layers,
            kept=made.kept,
            kept_fp32=made.kept_fp32,
            trials=made.trials,
            sensitivity=made.sensitivity,
            judging_pictures=self._divided.judging,
            calibration_pictures=len(used),
            calibration_sha256=fingerprint(used) if used else None,
            notes=notes,
        )

    def _advice(self, ruling: Ruling) -> str:
        if ruling.ap_drop_bound is None:
            return "calibrate on other pictures, or more of them"
        if ruling.ap_drop_bound == math.inf:
            return "give more annotated pictures"
        return f"give more annotated pictures, or allow --max-ap-drop {math.ceil(10 * ruling.ap_drop_bound) / 10:g}"

    def _raced(self, path: Path, runtime: Runtime) -> list[float]:
        self._report(0, None, "timing")
        files: tuple[tuple[Path, Runtime], ...] = ((self._order.model, "onnxruntime"), (path, runtime))
        with ExitStack() as stack:
            loaded = [stack.enter_context(closing(self._opener(file, where, threads=1)(0.1))) for file, where in files]
            return race(loaded)

    def _opener(self, path: Path, runtime: Runtime, threads: int = 0) -> Open:
        return opener(path, name=self._order.name, spec=self._order.spec, runtime=runtime, threads=threads)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Divided:
    """The pictures by role; `truth` judges where there is some, else `judge`."""

    calibrate: tuple[Image, ...]
    choose: tuple[Image, ...]
    judge: tuple[Image, ...]
    truth: LabelledPictures | None
    judging: int
    note: str


def _divided(order: QuantizeRequest, report: Progress) -> _Divided:
    least = CALIBRATE if order.precision == "int8" else _SHOW
    if order.truth is None:
        found = roles(order.pictures, calibrate=least)
        return _Divided(
            calibrate=found.calibrate,
            choose=found.choose,
            judge=found.judge,
            truth=None,
            judging=len(found.judge),
            note=found.note,
        )
    truth = order.truth
    names = [entry["file_name"] for entry in read_truth(truth.annotations, truth.images).images]
    apart = keep_apart(order.pictures, [truth.images / name for name in names], calibrate=least, progress=report)
    kept = frozenset(name for number, name in enumerate(names) if number not in apart.held)
    calibrate, choose = chooser(apart.calibration, calibrate=least)
    return _Divided(
        calibrate=calibrate,
        choose=choose,
        judge=(),
        truth=replace(truth, only=kept),
        judging=len(kept),
        note=apart.note or f"{len(calibrate)} pictures calibrate, {len(kept)} others judge",
    )
