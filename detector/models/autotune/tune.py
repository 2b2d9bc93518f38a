"""Measures a model's variants on this machine, checks the cheap ones, and chooses the cheapest that is accepted."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from detector.config.model_settings import Model
from detector.core.errors import DetectorError, ModelError
from detector.core.progress import Progress, quiet
from detector.core.types import ArrayImage, Image
from detector.inference.agreement import Limits
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.input_sizes import InputSize
from detector.inference.multi_size import AnyDetector
from detector.models.accuracy.gate import compare
from detector.models.graph.variants import VariantPrecision, prepare
from detector.models.registry import Resolved

from .candidates import Candidate, candidates, openvino_there
from .choice import CandidateResult, Choice
from .cost import Cost, interleaved, price
from .loader import open_form
from .samples import CalibrationSet

GATE = Limits(iou_mean=0.965, score_delta_mean=0.03)
"""Mean IoU predicts the loss in average precision best (docs/tuning.md): INT8 variants at 0.94 lost 0.7 to 1.6 points
on two sets, those at 0.97 and more at most 0.25."""
GATE_CALIBRATED = Limits(iou_mean=GATE.iou_mean, score_delta_mean=GATE.score_delta_mean, min_persons=20)
MIN_CALIBRATION = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRequest:
    """What to tune. `built_in` returns pictures if there is no `evidence`; `failed` variants are left out."""

    model: Model
    resolved: Resolved
    shapes: tuple[InputSize, ...]
    evidence: CalibrationSet | None = None
    built_in: Callable[[], Iterable[Image]] = tuple
    failed: dict[str, str] = field(default_factory=dict)
    openvino: bool = field(default_factory=openvino_there)


def tune(task: TuneRequest, progress: Progress = quiet) -> Choice:
    """Make and measure the variants and return the choice; raises DetectorError if not even the reference runs."""
    return _Tuning(task, progress).run()


def exact(resolved: Resolved, shapes: Iterable[InputSize], progress: Progress = quiet) -> None:
    """Make the person-only variants of those sizes; does nothing for a model that cannot be edited."""
    for shape in shapes:
        progress(0, None, f"preparing {resolved.name} for {shape[0]}x{shape[1]}")
        with contextlib.suppress(ModelError):
            prepare(resolved.path, shape=shape, spec=resolved.spec)


class _Tuning:
    def __init__(self, task: TuneRequest, progress: Progress) -> None:
        self._task, self._progress = task, progress
        self._files: dict[str, dict[InputSize, str]] = {}
        self._refused: dict[Candidate, str] = {}
        self._costs: dict[Candidate, Cost] = {}
        self._configured = task.model.backend != "auto"
        own = inspect(task.resolved.path).precision == "fp32"  # a quantised file is not changed
        calibrated = task.evidence is not None and len(task.evidence.calibration) >= MIN_CALIBRATION and own
        found = candidates(task.model, calibrated=calibrated, openvino=task.openvino)
        self._forms = [
            form
            for form in found
            if self._configured or (str(form) not in task.failed and (own or form.precision != "half"))
        ]
        self._beside: list[Cost] = []
        self._verdicts: dict[tuple[str, str], str | None] = {}
        self._seen: tuple[list[Image], str] | None = None

    def run(self) -> Choice:
        exact(self._task.resolved, self._task.shapes, self._progress)
        reference = self._forms[0] if self._configured else Candidate(threads=self._task.model.threads or 1)
        with contextlib.closing(self._open(reference)) as yardstick:
            for number, form in enumerate(self._forms):
                self._progress(number, len(self._forms), f"measuring {form}")
                self._measure(yardstick, form)
            best = self._best(yardstick, self._costs)
            spare = self._best(yardstick, [form for form in self._costs if not form.calibrated])
        if best is None:
            raise ModelError(f"no variant of {self._task.resolved.name} runs: {'; '.join(self._refused.values())}")
        return self._choice(*best, spare=reference if spare is None else spare[0])

    def _open(self, form: Candidate) -> AnyDetector:
        files = self._calibrated(form) if form.calibrated else {}
        return open_form(self._task.resolved, form, files=files, expected=self._task.shapes[:1])

    def _calibrated(self, form: Candidate) -> dict[InputSize, str]:
        """The file names of the INT8 variants of each size, calibrated on the evidence; raises ModelError."""
        assert self._task.evidence is not None
        wanted = _variant(form)
        if wanted not in self._files:
            make = partial(prepare, self._task.resolved.path, precision=wanted, spec=self._task.resolved.spec)
            made = {shape: make(shape=shape, pictures=self._task.evidence.calibration) for shape in self._task.shapes}
            self._files[wanted] = {shape: path.name for shape, path in made.items()}
        return self._files[wanted]

    def _measure(self, yardstick: AnyDetector, form: Candidate) -> None:
        """Measure one variant in turns with the reference: two in memory, and other load slows both."""
        try:
            with contextlib.closing(self._open(form)) as detector:
                width, height = self._task.shapes[0]
                grey = ArrayImage(np.full((height, width, 3), 114, np.uint8))
                beside, cost = interleaved(yardstick, detector, grey)
        except DetectorError as error:
            self._refused[form] = str(error)
            return
        self._beside.append(beside)
        self._costs[form] = Cost(ms=cost.ms / beside.ms, cpu_ms=cost.cpu_ms / beside.cpu_ms)

    def _best(self, yardstick: AnyDetector, forms: Iterable[Candidate]) -> tuple[Candidate, str] | None:
        """The cheapest variant that the gate accepts, and why; the reference is always accepted."""
        for form in sorted(forms, key=lambda form: price(self._costs[form], exact=form.exact)):
            if self._configured:
                return (
                    form,
                    f"{self._task.model.backend} is configured; this number of threads is the cheapest (ms x CPU ms)",
                )
            if form.exact:
                return form, "the cheapest of those accepted (ms x CPU ms); it is the reference itself"
            # The number of threads does not change the results.
            same = (form.backend, form.precision)
            if same not in self._verdicts:
                self._verdicts[same] = self._judged(yardstick, form)
            refused = self._verdicts[same]
            if refused is None:
                return form, f"the cheapest of those accepted (ms x CPU ms), compared on {self._judges()[1]}"
            self._refused[form] = refused
        return None

    def _judged(self, yardstick: AnyDetector, form: Candidate) -> str | None:
        """Why the variant is rejected; None if it detects the same people as the reference."""
        pictures, where = self._judges()
        if not pictures:
            return where
        self._progress(0, None, f"comparing {form}")
        try:
            with contextlib.closing(self._open(form)) as detector:
                verdict = compare(yardstick, detector, pictures, limits=GATE_CALIBRATED if form.calibrated else GATE)
        except DetectorError as error:
            return str(error)
        return None if verdict.accepted else verdict.why

    def _judges(self) -> tuple[list[Image], str]:
        """The pictures to compare on and their description; or none, and why."""
        if self._seen is None:
            evidence = self._task.evidence
            if evidence is not None:
                self._seen = list(evidence.held_out), f"{len(evidence.held_out)} of the cameras' own pictures"
            else:
                try:
                    found = list(self._task.built_in())
                    self._seen = found, f"{len(found)} pictures of the sample clip"
                except DetectorError as error:
                    self._seen = [], f"there are no pictures to compare on: {error}"
        return self._seen

    def _choice(self, taken: Candidate, why: str, *, spare: Candidate) -> Choice:
        evidence, unit = self._task.evidence, self._unit()
        costs = {
            form: Cost(ms=cost.ms * unit.ms, cpu_ms=cost.cpu_ms * unit.cpu_ms) for form, cost in self._costs.items()
        }
        return Choice(
            taken=taken,
            why=why,
            shapes=self._task.shapes,
            scenes=() if evidence is None else evidence.scenes,
            files=self._files[_variant(taken)] if taken.calibrated else {},
            results=tuple(
                CandidateResult(
                    form=form,
                    ms=round(costs[form].ms, 2) if form in costs else None,
                    cpu_ms=round(costs[form].cpu_ms, 2) if form in costs else None,
                    refused=self._refused.get(form),
                )
                for form in self._forms
            ),
            failed=self._task.failed,
            spare=spare,
        )

    def _unit(self) -> Cost:
        """The unit of the costs: the median of the reference's runs beside all variants."""
        if not self._beside:
            return Cost(ms=0.0, cpu_ms=0.0)
        return Cost(
            ms=statistics.median(cost.ms for cost in self._beside),
            cpu_ms=statistics.median(cost.cpu_ms for cost in self._beside),
        )


def _variant(form: Candidate) -> VariantPrecision:
    """The file variant of a calibrated candidate; the placement of Q/DQ pairs decides what a runtime can fuse."""
    if form.precision != "int8":
        return "int8-mixed"
    return "int8-openvino" if form.backend == "openvino" else "int8"
