"""`detector compile`: an ONNX model in a runtime's own format, and what that saves."""

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

_PICTURES = 16  # enough that some show people

if TYPE_CHECKING:
    from detector.optimize.export.compile import Compiled


def compile_model(
    model: Annotated[str, typer.Argument(metavar="MODEL.onnx", help="An ONNX file, or a registry name.")],
    target: Annotated[Literal["onnxruntime", "openvino", "tensorrt"], typer.Option("--target", help="The runtime.")],
    output: Annotated[
        Path | None, typer.Option("--output", metavar="F", help="Default: in the current folder.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Compare on these pictures instead of the sample clip's."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compile a model for a runtime, and measure whether it is faster on this machine."""
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
        raise UsageError(f"{found.path} is not an ONNX model: only those can be compiled")
    suffix = SUFFIXES[target]
    made, ending = output or Path(f"{found.path.stem}{suffix}"), suffix[suffix.rindex(".") :]
    if made.suffix != ending or made.resolve() == found.path.resolve():
        raise UsageError(f"--output {made}: for {target} name a file that ends in {ending}, other than the model")
    pictures, origin = some_pictures(images, count=_PICTURES)
    with progress() as report:
        report(0, None, f"compiling and measuring {found.name}")
        done = make(found.path, made, target, pictures, spec=found.spec)
    _print(done, made, origin, as_json=as_json)


def _print(done: Compiled, made: Path, origin: str, *, as_json: bool) -> None:
    if as_json:
        document = {"output": str(made), "pictures": origin, **dataclasses.asdict(done), "paid": done.paid}
        typer.echo(json.dumps(document))
        return
    typer.echo(f"{made}: for {done.target}, {done.size} bytes")
    typer.echo(f"{done.verdict.persons} persons in pictures of {origin}: {done.verdict.why}")
    typer.echo(
        f"load {done.load_ms:.0f} ms (ONNX file {done.plain_load_ms:.0f}), run {done.run_ms:.1f} ms (ONNX file "
        f"{done.plain_run_ms:.1f}, in ONNX Runtime {done.base_run_ms:.1f}), one thread"
    )
    typer.echo(done.paid)
