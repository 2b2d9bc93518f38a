"""`detector quantize`: a model in FP16, INT8 or INT4, measured and checked before it is written."""

from __future__ import annotations

import dataclasses
import json
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detector.core.errors import StorageError, UsageError

from .load import JsonOption
from .values import labelled

if TYPE_CHECKING:
    from detector.core.progress import Progress
    from detector.core.types import Image
    from detector.models.accuracy.gate import LabelledPictures
    from detector.models.registry import Resolved
    from detector.optimize.quantize.quantize import QuantizeResult

Wanted = Literal["fp16", "int8", "int4"]
Target = Literal["cpu", "tensorrt"]
MethodName = Literal["auto", "min-max", "entropy", "percentile"]

_CLIP, _CLIP_PICTURES, _CLIP_EVERY = "bikes", 60, 4  # enough to calibrate, to choose and to judge, each by others


def quantize(
    model: Annotated[str, typer.Argument(metavar="MODEL.onnx", help="An fp32 ONNX file, or a name of the registry.")],
    precision: Annotated[Wanted, typer.Option("--precision", help="INT4 is for weights only.")] = "int8",
    target: Annotated[Target, typer.Option("--target", help="What will run the model: this CPU, or TensorRT.")] = "cpu",
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            metavar="DIR|VIDEO|CAMERA",
            help="Pictures of what the cameras see: they calibrate, choose and, without --images, judge (each picture one "
            "of these). Default: the sample clip's.",
        ),
    ] = None,
    method: Annotated[
        MethodName, typer.Option("--method", help="How ranges are taken from the pictures; auto: all three are tried.")
    ] = "auto",
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="Pictures to measure accuracy on.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option("--annotations", metavar="COCO.json", help="Their ground truth.")
    ] = None,
    max_ap_drop: Annotated[
        float,
        typer.Option(
            "--max-ap-drop",
            metavar="POINTS",
            min=0.0,
            help="AP points (hundredths) that it is shown to lose at most, at the 90 % bound; with --annotations.",
        ),
    ] = 0.5,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="F.onnx", help="Default: MODEL-PRECISION.onnx in the current folder."),
    ] = None,
    report_file: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="F.html",
            help="Write how sensitive each layer is, as a table and a plot, and what was tried.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a model smaller and faster, and report its loss in accuracy.

    Without annotations the accuracy gate decides: the result must find the persons that the original finds.
    """
    from detector.models.registry import load_registry
    from detector.optimize.quantize.quantize import METHODS, QuantizeRequest
    from detector.optimize.quantize.quantize import quantize as make

    from .progress import progress

    truth = labelled(images, annotations)
    if report_file is not None:
        _check_report(report_file, precision)
    with progress(download=True) as report:
        found = load_registry().resolve(model, report)
    target_file = _output(found, precision, output)
    with progress() as report:
        result = make(
            QuantizeRequest(
                model=found.path,
                name=found.name,
                spec=found.spec,
                precision=precision,
                target=target,
                output=target_file,
                pictures=_pictures(calibration, precision, truth, report),
                methods=METHODS if method == "auto" else (method,),
                truth=truth,
                max_ap_drop=max_ap_drop,
                sensitivity=report_file is not None,
            ),
            report,
        )
    if report_file is not None and result is not None:
        _write_report(report_file, result, found.name)
    _print(result, found.path, as_json=as_json)


def _check_report(path: Path, precision: Wanted) -> None:
    """Before minutes of work."""
    from detector.optimize.study import plots

    if precision == "fp16":
        raise UsageError("--report shows how sensitive layers are to INT8 or INT4: leave it out for fp16")
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise UsageError(f"--report {path}: the file's name must end in .html")
    plots.require()


def _write_report(path: Path, result: QuantizeResult, model: str) -> None:
    from detector.core.files import PUBLIC, write_atomically
    from detector.optimize.quantize.report import page

    try:
        write_atomically(path, page(result, model=model), mode=PUBLIC)
    except OSError as error:
        raise StorageError(f"cannot write the report {path}: {error.strerror or error}") from None


def _output(found: Resolved, precision: Wanted, output: Path | None) -> Path:
    if found.path.suffix.lower() != ".onnx":
        raise UsageError(f"{found.path} is not an ONNX model: give the model that the engine was built from")
    target = output or Path(f"{found.path.stem}-{precision}.onnx")
    if target.suffix.lower() != ".onnx":
        raise UsageError(f"--output {target}: the file's name must end in .onnx")
    if target.is_dir():
        raise UsageError(f"--output {target} is a folder: name the file")
    if target.exists() and target.samefile(found.path):
        raise UsageError(f"--output {target} is the model itself: name another file")
    return target


def _pictures(
    calibration: str | None, precision: Wanted, truth: LabelledPictures | None, report: Progress
) -> list[Image]:
    from detector.capture.pictures import clip_pictures, folder_pictures
    from detector.models.registry import load_registry
    from detector.optimize.quantize.calibration import calibration_pictures

    if calibration is not None:
        return calibration_pictures(calibration, progress=report)
    if (
        precision != "int8" and truth is not None
    ):  # nothing is calibrated: they only rank layers or show how large numbers grow
        return list(folder_pictures(truth.images))
    clip = load_registry().fetch_clip(_CLIP)
    return list(clip_pictures(clip, count=_CLIP_PICTURES, every=_CLIP_EVERY))


def _print(result: QuantizeResult | None, model: Path, *, as_json: bool) -> None:
    if result is None:
        document: dict[str, Any] = {"output": None, "why": "no eligible layers"}
        line = f"{model.name} has no eligible layers for INT4: nothing was written"
        typer.echo(json.dumps(document) if as_json else line)
        return
    if as_json:
        document = dataclasses.asdict(result)
        typer.echo(json.dumps({**document, "output": str(result.output), "ratio": result.ratio}))
        return
    typer.echo("\n".join(_lines(result)))


def _lines(result: QuantizeResult) -> list[str]:
    lines = [f"{result.output}: {result.precision} for {result.runtime}, {result.why}"]
    lines.append(f"size: {result.bytes_before} to {result.bytes_after} bytes")
    if result.ms_before and result.ms_after:
        lines.append(f"time: {result.ms_before:.1f} to {result.ms_after:.1f} ms, ratio {result.ratio:.2f}, one thread")
    if result.ap_before is not None and result.ap_after is not None:
        lines.append(
            f"person AP: {result.ap_before:.3f} to {result.ap_after:.3f}, on {result.judging_pictures} pictures"
        )
    if result.persons is not None:
        lines.append(f"of {result.persons} persons {result.missed} missed, {result.extra} extra")
    if result.method:
        lines.append(f"calibrated by {result.method} on {result.calibration_pictures} pictures")
        lines.append(f"in floats: {len(result.kept)} of {result.layers} layers, by their error when alone in INT8")
    if result.sensitivity:
        least = ", ".join(f"{each.layer} {each.error:.4f}" for each in result.sensitivity[:3])
        lines.append(f"most sensitive of {len(result.sensitivity)} layers: {least}")
    rows = ((f"  {kept.layer}", f"{kept.error:.4f}") for kept in result.kept)
    wide = ((f"  {name} in fp32", "its numbers are too large for half precision") for name in result.kept_fp32)
    return [*lines, *(": ".join(row) for row in chain(rows, wide)), *result.notes]
