"""`detector compile`: an ONNX model in the form that a runtime keeps for itself; measured, and said whether it paid."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from detector.core.errors import UsageError

from . import build
from .export import some_pictures
from .load import JsonOption

_PICTURES = 16  # must show somebody

if TYPE_CHECKING:
    from detector.optimize.export.compile import Compiled


def compile_model(
    model: Annotated[str, typer.Argument(metavar="MODEL.onnx", help="An ONNX file, or a registry name.")],
    target: Annotated[Literal["onnxruntime", "openvino", "tensorrt"], typer.Option("--target", help="The runtime.")],
    output: Annotated[Path | None, typer.Option("--output", metavar="F", help="Else beside the model.")] = None,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="Judge by these pictures, not the sample clip's.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compile a model for a runtime, and measure whether that pays here."""
    if target == "tensorrt":
        build.build(model, output=output, images=images, as_json=as_json)
        return
    from detector.models.registry import load_registry
    from detector.optimize.export.compile import SUFFIXES
    from detector.optimize.export.compile import compile_model as make

    from .progress import progress

    with progress(download=True) as report:
        found = load_registry().resolve(model, report)
    if found.path.suffix.lower() != ".onnx":
        raise UsageError(f"{found.path} is not an ONNX model: those are compiled")
    suffix = SUFFIXES[target]
    made, ending = output or Path(f"{found.path.stem}{suffix}"), suffix[suffix.rindex(".") :]
    if made.suffix != ending or made.resolve() == found.path.resolve():
        raise UsageError(f"--output {made}: for {target} another file than the model, which ends in {ending}")
    pictures, told = some_pictures(images, count=_PICTURES)
    with progress() as report:
        report(0, None, f"compiling and measuring {found.name}")
        done = make(found.path, made, target, pictures, spec=found.spec)
    _say(done, made, told, as_json=as_json)


def _say(done: Compiled, made: Path, told: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"output": str(made), "pictures": told, **dataclasses.asdict(done), "paid": done.paid}))
        return
    typer.echo(f"{made}: for {done.target}, {done.size} bytes")
    typer.echo(f"{done.verdict.persons} persons in pictures of {told}: {done.verdict.why}")
    typer.echo(
        f"load {done.load_ms:.0f} ms (ONNX file {done.plain_load_ms:.0f}), run {done.run_ms:.1f} ms (ONNX file "
        f"{done.plain_run_ms:.1f}, in ONNX Runtime {done.base_run_ms:.1f}), one thread"
    )
    typer.echo(done.paid)
