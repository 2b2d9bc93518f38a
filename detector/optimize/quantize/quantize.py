"""Quantises one model: FP16, INT8 within a budget, or INT4 weights; measured before and after, written atomically."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
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
from detector.models.accuracy.gate import LabelledPictures
from detector.models.graph import fp16
from detector.models.graph.calibration import Method

from . import int4, int8
from .budget import ByAgreement, ByTruth, Judge, Open
from .int8 import Int8Request, Target, opener
from .search import Kept, Made, QuantTrial, Runtime
from .timing import race

Precision = Literal["fp16", "int8", "int4"]
METHODS: tuple[Method, ...] = ("min-max", "percentile", "entropy")
_EVERY = 3  # one picture in so many is kept from calibration to judge by
_ENOUGH = 24  # from so many on


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeRequest:
    """What to do. `pictures` calibrate, and judge where there is no `truth`; `methods` are tried, the best is taken."""

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
    persons: int | None
    missed: int | None
    extra: int | None
    method: str | None
    layers: int | None
    kept: tuple[Kept, ...]
    kept_fp32: tuple[str, ...]
    trials: tuple[QuantTrial, ...]
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
        pictures = list(order.pictures)
        split = order.truth is None and len(pictures) >= _ENOUGH
        self._judged_by = pictures[::_EVERY] if split else pictures
        self._calibrated_by = [p for i, p in enumerate(pictures) if i % _EVERY] if split else pictures
        self._source = onnx.load(str(order.model))
        self._before = self._opener(order.model, "onnxruntime")

    def run(self) -> QuantizeResult | None:
        judge = self._judge()
        if self._order.precision == "fp16":
            made: Made | None = self._fp16(judge)
        else:
            search = int8.search if self._order.precision == "int8" else int4.search
            made = search(self._task(), judge, self._report)
        return None if made is None else self._finished(made, judge)

    def _judge(self) -> Judge:
        order = self._order
        self._report(0, None, "judging the original")
        if order.truth is not None:
            return ByTruth(self._before, order.truth, max_ap_drop=order.max_ap_drop)
        return ByAgreement(self._before, self._judged_by)

    def _fp16(self, judge: Judge) -> Made:
        order = self._order
        self._report(0, None, "casting")
        model, large = fp16.half(self._source, self._calibrated_by[:16], name=order.name, spec=order.spec)
        path = self._folder / "fp16.onnx"
        onnx.save(model, str(path))
        ruling = judge(self._opener(path, "onnxruntime"))
        if not ruling.holds:
            raise ModelError(f"{order.name} in fp16 does not hold the budget: {ruling.why}; nothing was written")
        return Made(model=model, kept_fp32=tuple(large), ruling=ruling)

    def _task(self) -> Int8Request:
        order = self._order
        return Int8Request(
            model=order.model,
            name=order.name,
            spec=order.spec,
            pictures=self._calibrated_by,
            methods=order.methods,
            target=order.target,
            digest=f"{inspect(order.model).digest} {fingerprint(self._calibrated_by)}",
            work=self._folder,
            cache=order.cache,
        )

    def _finished(self, made: Made, judge: Judge) -> QuantizeResult:
        order = self._order
        path = self._folder / "made.onnx"
        onnx.save(made.model, str(path))
        ruling = made.ruling
        times = None if order.target == "tensorrt" else self._raced(path, made.runtime)
        ratio = None if times is None else times[1] / times[0]
        notes = made.notes
        if ratio is not None and ratio > 1.0 and order.precision != "int4":
            notes = (*notes, f"it does not pay on this CPU: {ratio:.2f} times the original's time")
        write_atomically(order.output, path.read_bytes(), mode=PUBLIC)
        verdict = ruling.verdict
        used = self._calibrated_by if order.precision == "int8" else ()
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
            ap_before=judge.ap if isinstance(judge, ByTruth) else None,
            ap_after=ruling.ap,
            persons=None if verdict is None else verdict.persons,
            missed=None if verdict is None else verdict.missed,
            extra=None if verdict is None else verdict.extra,
            method=made.method,
            layers=made.layers,
            kept=made.kept,
            kept_fp32=made.kept_fp32,
            trials=made.trials,
            calibration_pictures=len(used),
            calibration_sha256=fingerprint(used) if used else None,
            notes=notes,
        )

    def _raced(self, path: Path, runtime: Runtime) -> list[float]:
        self._report(0, None, "timing")
        files: tuple[tuple[Path, Runtime], ...] = ((self._order.model, "onnxruntime"), (path, runtime))
        with ExitStack() as stack:
            loaded = [stack.enter_context(closing(self._opener(file, where, threads=1)(0.1))) for file, where in files]
            return race(loaded)

    def _opener(self, path: Path, runtime: Runtime, threads: int = 0) -> Open:
        return opener(path, name=self._order.name, spec=self._order.spec, runtime=runtime, threads=threads)
