"""`detector build`: a TensorRT engine for this machine from an ONNX model, checked before it is used."""

from __future__ import annotations

import dataclasses
import json
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detector.core.errors import DetectorError, ModelError, UsageError

from .load import JsonOption

if TYPE_CHECKING:
    from detector.core.progress import Progress
    from detector.core.types import Image
    from detector.inference.agreement import Verdict
    from detector.inference.detector import PersonDetector
    from detector.inference.factory import BackendName
    from detector.inference.tensorrt.manifest import EngineManifest
    from detector.models.accuracy.gate import LabelledPictures
    from detector.models.engines.build_accepted import Gated
    from detector.models.engines.builder import BuildRequest
    from detector.models.registry import Resolved

Wanted = Literal["auto", "fp32", "fp16", "int8"]


def build(
    model: Annotated[str, typer.Argument(metavar="MODEL.onnx", help="An ONNX file, or a registry name.")],
    precision: Annotated[
        Wanted, typer.Option("--precision", help="auto: the fastest one whose detections agree with ONNX Runtime's.")
    ] = "auto",
    output: Annotated[
        Path | None, typer.Option("--output", metavar="F.engine", help="Default: where the service looks.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Check with these pictures instead of the sample clip's."),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations", metavar="COCO.json", help="Their ground truth: the loss in average precision counts, too."
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", metavar="DIR", help="Pictures to calibrate int8 with; not those of --images."),
    ] = None,
    batch: Annotated[
        int, typer.Option("--batch", metavar="N", min=1, max=16, help="Take the frames of up to N cameras in one run.")
    ] = 1,
    force: Annotated[bool, typer.Option("--force", help="Build again even if the engine exists.")] = False,
    workspace_mib: Annotated[
        int | None,
        typer.Option("--workspace-mib", metavar="N", min=1, help="Use at most N MiB of GPU memory for the build."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Build the TensorRT engine of a model on the machine that will run it."""
    from detector.inference.tensorrt.gpu import find_gpu
    from detector.inference.tensorrt.library import library
    from detector.models.registry import load_registry

    from .progress import progress

    load_registry().check_name(model)
    library()  # says how to get it before anything is fetched
    with progress(download=True) as report:
        found = load_registry().resolve(model, report)
    if found.path.suffix.lower() != ".onnx":
        raise UsageError(f"{found.path} is not an ONNX model: an engine is built from one")
    _refuse_contradictions(found.path, precision, images, annotations, calibration)
    orders = _orders(found, precision, output, workspace_mib, batch, calibrated=calibration is not None)
    with progress() as report, _interrupt() as stopped:
        judging = _Judging(found=found, images=images, annotations=annotations, report=report, stopped=stopped)
        if calibration is not None:
            orders = judging.calibrated(orders, calibration)
        if find_gpu() is None:
            made, path, note = judging.without_gpu(orders)
            _print(made, path, _joined(note, judging.apart), judging.screened, as_json=as_json)
            raise DetectorError(
                f"{path} was built but not checked, so it will not be used: there is no GPU here to run it on; "
                f"run detector build {found.path} on the machine with the GPU"
            )
        done = judging.build(orders, force=force)
    _print(done.manifest, done.path, _joined(done.choice.note, judging.apart), judging.screened, as_json=as_json)


def _joined(*notes: str | None) -> str | None:
    return "; ".join(filter(None, notes)) or None


def _refuse_contradictions(
    model: Path, precision: Wanted, images: Path | None, annotations: Path | None, calibration: Path | None
) -> None:
    from detector.inference.backends.onnx_metadata import inspect
    from detector.models.accuracy.average_precision import require_pycocotools

    if annotations is not None:
        if images is None:
            raise UsageError("--annotations needs --images, the folder of the annotated pictures")
        require_pycocotools()  # before minutes of building
    own = inspect(model).precision
    if calibration is None:
        if precision == "int8" and own == "fp32":
            raise UsageError(
                f"{model.name} is an fp32 model: int8 needs --calibration DIR, "
                "at least 16 different pictures of what the cameras see"
            )
        return
    if own != "fp32" or precision not in ("auto", "int8"):
        raise UsageError(
            f"--calibration is for int8 of an fp32 model: {model.name} is {own}, --precision is {precision}"
        )


def _orders(
    found: Resolved, precision: Wanted, output: Path | None, workspace_mib: int | None, batch: int, *, calibrated: bool
) -> list[BuildRequest]:
    from detector.inference.backends.onnx_metadata import inspect
    from detector.inference.tensorrt import engine_store
    from detector.models.engines.build_accepted import precisions
    from detector.models.engines.builder import BuildRequest

    if output is not None and output.suffix != ".engine":
        raise UsageError(f"--output {output}: an engine's file ends in .engine")
    digest = inspect(found.path).digest
    return [
        BuildRequest(
            model=found.path,
            output=output or engine_store.engine_path(found.path, digest, each),
            name=found.name,
            spec=found.spec,
            precision=each,
            batch=batch,
            workspace_mib=workspace_mib,
        )
        for each in precisions(found.path, precision, calibrated=calibrated)
    ]


@dataclass(slots=True, kw_only=True)
class _Judging:
    """How the engines of one model are checked; `screened` is the verdict on its INT8 variant.

    `apart` says how pictures were divided that are to calibrate and to judge.
    """

    found: Resolved
    images: Path | None
    annotations: Path | None
    report: Progress
    stopped: threading.Event
    screened: Verdict | None = None
    apart: str | None = None
    _calibration: list[Image] = field(default_factory=list)
    _held: frozenset[Path] = frozenset()

    def calibrated(self, orders: list[BuildRequest], folder: Path) -> list[BuildRequest]:
        """The requests, with the folder's pictures in that of int8; raises ModelError."""
        from detector.capture.pictures import fingerprint
        from detector.models.accuracy.holdout import keep_apart
        from detector.models.engines.int8 import calibration_pictures

        self._calibration, digest = calibration_pictures(folder)
        if self.images is not None:
            files = [self.images / name for name in self._names()]
            found = keep_apart(self._calibration, files, progress=self.report)
            self._calibration, self.apart = list(found.calibration), found.note
            self._held = frozenset(files[number] for number in found.held)
            digest = fingerprint(self._calibration) if found.note else digest
        return [
            dataclasses.replace(
                order,
                quantised=order.output.with_suffix(".qdq.onnx"),
                calibration=digest,
                calibrated_by=str(folder),
            )
            if order.precision == "int8"
            else order
            for order in orders
        ]

    def without_gpu(self, orders: list[BuildRequest]) -> tuple[EngineManifest, Path, str | None]:
        """Build without running: shows that TensorRT accepts the model. INT8 is checked with ONNX Runtime."""
        from detector.models.engines.builder import build as make

        notes = []
        for order in orders:
            try:
                self._screen(order)
            except ModelError as error:
                notes.append(f"{order.precision} was refused: {error}")
                continue
            return (
                make(order, report=self.report, cancelled=self.stopped.is_set),
                order.output,
                "; ".join(notes) or None,
            )
        raise ModelError(f"no engine was built: {'; '.join(notes)}")

    def build(self, orders: list[BuildRequest], *, force: bool) -> Gated:
        from detector.models.engines.build_accepted import build_gated

        return build_gated(
            orders,
            open_engine=partial(self._open, judged=False),
            reference=self._reference,
            pictures=self._pictures,
            truth=self._truth,
            screen=self._screen,
            force=force,
            report=self.report,
            cancelled=self.stopped.is_set,
        )

    def _screen(self, order: BuildRequest) -> None:
        """Make and check the INT8 variant; raises ModelError where its engine need not be built."""
        from detector.models.engines.builder import BuildCancelledError
        from detector.models.engines.int8 import judge, quantise

        if order.quantised is None:
            return
        self.report(0, None, "making int8")
        quantise(order.model, self._calibration, output=order.quantised, spec=order.spec)
        if self.stopped.is_set():
            raise BuildCancelledError("stopped: no engine was written")
        self.report(0, None, "judging int8")
        self.screened = judge(
            order.quantised,
            name=order.name,
            spec=order.spec,
            reference=self._reference,
            pictures=self._pictures(),
            floor=self._floor,
            truth=self._truth,
        )
        if not self.screened.accepted:
            order.quantised.unlink()
            raise ModelError(f"{self.screened.why} (as ONNX Runtime runs it)")

    @property
    def _truth(self) -> LabelledPictures | None:
        from detector.models.accuracy.gate import LabelledPictures

        if self.images is None or self.annotations is None:
            return None
        only = frozenset(name for name in self._names() if self.images / name not in self._held) if self._held else None
        return LabelledPictures(images=self.images, annotations=self.annotations, only=only)

    def _names(self) -> list[str]:
        """The file names in --images that judge: those annotated, and the folder's."""
        from detector.capture.pictures import picture_files
        from detector.models.accuracy.average_precision import read_truth

        assert self.images is not None
        names = [path.name for path in picture_files(self.images)]
        if self.annotations is not None:
            names += [entry["file_name"] for entry in read_truth(self.annotations, self.images).images]
        return list(dict.fromkeys(names))

    @property
    def _floor(self) -> float:
        from detector.models.accuracy.average_precision import EVALUATION_FLOOR

        return 0.1 if self.annotations is None else EVALUATION_FLOOR

    def _open(self, path: Path, *, judged: bool = True, backend: BackendName = "auto") -> PersonDetector:
        from detector.inference.factory import load_detector

        return load_detector(
            path=path,
            name=self.found.name,
            spec=self.found.spec,
            backend=backend,
            judged=judged,
            score_floor=self._floor,
        )

    def _reference(self) -> PersonDetector:
        return self._open(self.found.path, backend="onnxruntime")

    def _pictures(self) -> Iterable[Image]:
        from detector.capture.pictures import COUNT, picture_files, read_picture
        from detector.models.registry import sample_pictures

        if self.images is None:
            return sample_pictures()
        files = [path for path in picture_files(self.images) if path not in self._held]
        return (read_picture(path) for path in files[:: -(-len(files) // COUNT)])


@contextmanager
def _interrupt() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event: an exception raised inside TensorRT's callback would end the process."""
    stopped = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print(manifest: EngineManifest, path: Path, note: str | None, screened: Verdict | None, *, as_json: bool) -> None:
    verdict = manifest.verdict
    document: dict[str, Any] = {
        "engine": str(path),
        "key": manifest.key,
        "precision": manifest.recipe.precision,
        "tensorrt": manifest.environment.tensorrt,
        "gpu": manifest.environment.gpu,
        "bytes": manifest.size,
        "accepted": None if verdict is None else verdict.accepted,
        "batch": manifest.batch,
        "int8_form": None if screened is None else dataclasses.asdict(screened),
        "note": note,
    }
    if as_json:
        typer.echo(json.dumps(document))
        return
    typer.echo(f"{path}: {manifest.recipe.precision}, {manifest.size} bytes, key {manifest.key}")
    if screened is not None:
        _print_verdict("its int8 form, by ONNX Runtime", screened)
    if verdict is None:
        typer.echo("not checked")
    else:
        _print_verdict("checked against ONNX Runtime fp32", verdict)
    if note:
        typer.echo(note)


def _print_verdict(what: str, verdict: Verdict) -> None:
    found = f"{verdict.persons - verdict.missed} of {verdict.persons} persons found, {verdict.extra} extra"
    lost = "" if verdict.ap_drop is None else f", {verdict.ap_drop:.2f} points of AP lost"
    typer.echo(f"{what}, on {verdict.images} pictures: {found}{lost}")
