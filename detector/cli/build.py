"""`detector build`: an ONNX model becomes a TensorRT engine for this very machine, judged before it is used."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detector.errors import UsageError

from .load import JsonOption

if TYPE_CHECKING:
    from detector.engines.builder import Order
    from detector.engines.gated import Gated
    from detector.engines.progress import Report
    from detector.engines.sidecar import Sidecar
    from detector.inference.detector import PersonDetector
    from detector.models import Resolved
    from detector.types import Image

Wanted = Literal["auto", "fp32", "fp16", "int8"]


def build(
    model: Annotated[str, typer.Argument(metavar="MODEL.onnx", help="An ONNX file, or a registry name.")],
    precision: Annotated[
        Wanted, typer.Option("--precision", help="auto: the fastest one whose detections agree with ONNX Runtime's.")
    ] = "auto",
    output: Annotated[
        Path | None, typer.Option("--output", metavar="F.engine", help="Where to; else where the service looks.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="Judge by these pictures, not the sample clip's.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Build anew what is built already.")] = False,
    workspace_mib: Annotated[
        int | None, typer.Option("--workspace-mib", metavar="N", min=1, help="At most so much GPU memory to build in.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Build the TensorRT engine of a model on the machine that will run it."""
    from detector.engines.gpu import find_gpu
    from detector.engines.module import library
    from detector.models import load_registry

    from .progress import progress

    library()  # says how to get it before anything is fetched
    with progress(download=True) as report:
        found = load_registry().resolve(model, report)
    if found.path.suffix.lower() != ".onnx":
        raise UsageError(f"{found.path} is not an ONNX model: an engine is built from one")
    orders = _orders(found, precision, output, workspace_mib)
    with progress() as report, _interrupt() as stopped:
        if find_gpu() is None:
            _say(_unjudged(orders[0], report, stopped), orders[0].output, None, as_json=as_json)
            return
        done = _judged(orders, found, images, force=force, report=report, stopped=stopped)
    _say(done.sidecar, done.path, done.choice.note, as_json=as_json)


def _orders(found: Resolved, precision: Wanted, output: Path | None, workspace_mib: int | None) -> list[Order]:
    from detector.engines import store
    from detector.engines.builder import Order
    from detector.engines.gated import precisions
    from detector.inference.backends.onnxfile import inspect

    if output is not None and output.suffix != ".engine":
        raise UsageError(f"--output {output}: an engine's file ends in .engine")
    digest = inspect(found.path).digest
    return [
        Order(
            model=found.path,
            output=output or store.engine_path(found.path, digest, each),
            name=found.name,
            spec=found.spec,
            precision=each,
            workspace_mib=workspace_mib,
        )
        for each in precisions(found.path, precision)
    ]


def _unjudged(order: Order, report: Report, stopped: threading.Event) -> Sidecar:
    """Without a GPU an engine can be made, not run: it proves that TensorRT takes the model."""
    from detector.engines.builder import build as make

    return make(order, report=report, cancelled=stopped.is_set)


def _judged(
    orders: list[Order], found: Resolved, images: Path | None, *, force: bool, report: Report, stopped: threading.Event
) -> Gated:
    from detector.engines.gated import build_gated
    from detector.engines.pictures import built_in, folder_pictures
    from detector.inference.factory import load_detector

    def reference() -> PersonDetector:
        return load_detector(path=found.path, name=found.name, spec=found.spec, backend="onnxruntime")

    def pictures() -> Iterable[Image]:
        return built_in() if images is None else folder_pictures(images)

    return build_gated(
        orders,
        open_engine=lambda path: load_detector(path=path, name=found.name, spec=found.spec, judged=False),
        reference=reference,
        pictures=pictures,
        force=force,
        report=report,
        cancelled=stopped.is_set,
    )


@contextmanager
def _interrupt() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event: raised inside TensorRT's callback, an exception would end the process."""
    stopped = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(sidecar: Sidecar, path: Path, note: str | None, *, as_json: bool) -> None:
    verdict = sidecar.verdict
    document: dict[str, Any] = {
        "engine": str(path),
        "key": sidecar.key,
        "precision": sidecar.recipe.precision,
        "tensorrt": sidecar.environment.tensorrt,
        "gpu": sidecar.environment.gpu,
        "bytes": sidecar.size,
        "accepted": None if verdict is None else verdict.accepted,
        "note": note,
    }
    if as_json:
        typer.echo(json.dumps(document))
        return
    typer.echo(f"{path}: {sidecar.recipe.precision}, {sidecar.size} bytes, key {sidecar.key}")
    if verdict is None:
        typer.echo("not checked: there is no GPU here to run it on, so nothing will serve it")
    else:
        found = f"{verdict.persons - verdict.missed} of {verdict.persons} persons found, {verdict.extra} extra"
        typer.echo(f"checked against ONNX Runtime fp32 on {verdict.images} pictures: {found}")
    if note:
        typer.echo(note)
