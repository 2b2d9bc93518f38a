"""Builds engines, fastest precision first, until one is accepted: its detections must agree with ONNX Runtime's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from detector import __version__
from detector.core.errors import DetectorError, ModelError
from detector.core.progress import Progress, quiet
from detector.core.types import Image
from detector.inference.agreement import Limits, Verdict
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.detector import PersonDetector
from detector.inference.multi_size import AnyDetector
from detector.inference.tensorrt import manifest
from detector.inference.tensorrt.manifest import EngineManifest, Environment, environment
from detector.models.accuracy.gate import LabelledPictures, compare

from .builder import BuildCancelledError, BuildRequest, build, never
from .prepare import BuildPrecision
from .progress import Cancelled

Open = Callable[[], AnyDetector]
Pictures = Callable[[], Iterable[Image]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCandidate:
    """One way to run the model; `open` loads it and raises DetectorError if that fails."""

    name: str
    open: Open


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """`taken` is the accepted candidate's name, None if none was; `refused` has the reasons for those before it."""

    taken: str | None
    verdict: Verdict | None
    refused: dict[str, str]

    @property
    def note(self) -> str | None:
        """Why it is not the first candidate."""
        return "; ".join(f"{name} was refused: {why}" for name, why in self.refused.items()) or None


def first_accepted(
    candidates: Iterable[EngineCandidate],
    *,
    reference: Open,
    pictures: Pictures,
    limits: Limits | None = None,
    truth: LabelledPictures | None = None,
    judged: Callable[[str, Verdict], None] = lambda _name, _verdict: None,
) -> BuildResult:
    """The first candidate that agrees with `reference` on `pictures`; fastest first, safest last.

    `judged` is called with every verdict. Raises the errors of the reference and the pictures.
    """
    refused: dict[str, str] = {}
    with contextlib.closing(reference()) as judge:
        for candidate in candidates:
            try:
                detector = candidate.open()
            except BuildCancelledError:
                raise
            except DetectorError as error:
                refused[candidate.name] = str(error)
                continue
            with contextlib.closing(detector):
                verdict = compare(judge, detector, pictures(), limits=limits, truth=truth)
            judged(candidate.name, verdict)
            if verdict.accepted:
                return BuildResult(taken=candidate.name, verdict=verdict, refused=refused)
            refused[candidate.name] = verdict.why
    return BuildResult(taken=None, verdict=None, refused=refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """The accepted engine, at `path`, and why no faster one was (`choice.note`)."""

    path: Path
    manifest: EngineManifest
    choice: BuildResult


def precisions(model: Path, wanted: BuildPrecision = "auto", *, calibrated: bool = False) -> tuple[BuildPrecision, ...]:
    """The precisions to try for `wanted`, fastest first; auto falls back as far as the file allows.

    INT8 of an fp32 model is tried if there are pictures to calibrate it with.
    """
    own = inspect(model).precision
    if wanted != "auto":
        return (wanted,)
    if own != "fp32":
        return ("fp16",) if own == "fp16" else ("int8",)
    return ("int8", "fp16", "fp32") if calibrated else ("fp16", "fp32")


def build_gated(
    orders: Sequence[BuildRequest],
    *,
    open_engine: Callable[[Path], PersonDetector],
    reference: Open,
    pictures: Pictures,
    truth: LabelledPictures | None = None,
    limits: Limits | None = None,
    screen: Callable[[BuildRequest], None] = lambda _order: None,
    force: bool = False,
    report: Progress = quiet,
    cancelled: Cancelled = never,
) -> Gated:
    """The first of `orders` (one a precision, fastest first) whose engine is accepted; each verdict goes into its manifest.

    Unless `force`, what was accepted on this very machine is taken as it is, and what was built for it is
    judged again where the driver changed. `open_engine` loads an engine that has no verdict yet; `screen` makes what
    an order is built from, and raises DetectorError where it need not be built. Raises ModelError when all are refused.
    """
    here = environment()
    if not force and (known := _known(orders, here)) is not None:
        return known
    by_precision = {str(order.precision): order for order in orders}

    def candidates() -> Iterator[EngineCandidate]:
        for order in orders:
            yield EngineCandidate(name=order.precision, open=partial(_built, order))

    def _built(order: BuildRequest) -> PersonDetector:
        if force or not _current(order):
            screen(order)
            build(order, report=report, cancelled=cancelled)
        return open_engine(order.output)

    def _note(name: str, verdict: Verdict) -> None:
        path = by_precision[name].output
        manifest.write(path, manifest.read(path).judged(verdict, here))

    choice = first_accepted(
        candidates(), reference=reference, pictures=pictures, limits=limits, truth=truth, judged=_note
    )
    if choice.taken is None:
        raise ModelError(f"no engine was accepted: {choice.note}")
    path = by_precision[choice.taken].output
    assert choice.verdict is not None
    taken = manifest.read(path).judged(choice.verdict, here, choice.note)
    manifest.write(path, taken)  # the service reports why it is not a faster one
    return Gated(path=path, manifest=taken, choice=choice)


def _known(orders: Sequence[BuildRequest], here: Environment) -> Gated | None:
    """The result of an earlier run on this machine, as far as it is still valid."""
    refused: dict[str, str] = {}
    for order in orders:
        if not _current(order):
            return None
        known = manifest.read(order.output)
        if known.verdict is None or known.judged_in != here.key:
            return None
        if known.verdict.accepted:
            choice = BuildResult(taken=order.precision, verdict=known.verdict, refused=refused)
            return Gated(path=order.output, manifest=known, choice=choice)
        refused[order.precision] = known.verdict.why
    return None


def _current(order: BuildRequest) -> bool:
    """Whether the engine at the request's path is what building it now would give."""
    try:
        known = manifest.read(order.output)
        digest = inspect(order.model).digest
        manifest.require_fit(order.output, known, environment(), model_sha256=digest, judged=False)
    except ModelError:
        return False
    recipe = known.recipe
    made_so = (recipe.calibration, known.batch) == (order.calibration, order.batch)
    return recipe.detector == __version__ and order.precision in ("auto", recipe.precision) and made_so
