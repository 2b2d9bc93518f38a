"""`detector export`: an ONNX model from a PyTorch checkpoint, or an edited ONNX model."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detector.core.errors import UsageError
from detector.core.progress import Progress

from .load import JsonOption
from .values import INPUT_MULTIPLE
from .values import sides as parse_sides

if TYPE_CHECKING:
    from detector.core.types import Image
    from detector.optimize.export.traceable import Network

_PICTURES = 4  # enough to compare hundreds of boxes; PyTorch takes its time
_DEFAULT_SIZE = (640, 640)
_SUFFIXES = (".pt", ".onnx")
Head = Literal["nms-free", "dense"]
Loaded = tuple["Network", tuple[int, int]]


def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL.pt|MODEL.onnx|NAME|FOLDER",
            help="A checkpoint, an ONNX file, a name of the registry, or a transformers folder.",
        ),
    ],
    head: Annotated[
        Head | None,
        typer.Option("--head", help="The head to use if a checkpoint has both. Default: nms-free."),
    ] = None,
    person_only: Annotated[
        bool, typer.Option("--person-only", help="Remove all other classes; scores stay the same.")
    ] = False,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="WxH|N", help="Input size in px, multiples of 32. Default: the file's, or 640."),
    ] = None,
    batch: Annotated[
        str, typer.Option("--batch", metavar="N|dynamic", help="Pictures in one run (checkpoints only).")
    ] = "1",
    before_nms: Annotated[bool, typer.Option("--before-nms", help="Remove an ONNX file's NMS.")] = False,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Include preprocessing: the model takes letterboxed BGR bytes.")
    ] = False,
    random_weights: Annotated[
        bool,
        typer.Option("--random-weights", help="Only the architecture of a transformers folder, to measure its speed."),
    ] = False,
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Compare on these pictures instead of the sample clip's."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="F.onnx", help="Default: beside the model.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Export a model to ONNX, or edit an ONNX model; the result is compared with the original before it is kept."""
    from .progress import progress

    model, output = _of_registry(model, output)
    target = _target(model, output)
    at_once = _batch(batch)
    sides = None if size is None else parse_sides(size, square=True, multiple=INPUT_MULTIPLE)
    if model.suffix.lower() == ".onnx":
        if head is not None or batch != "1":
            raise UsageError("--head and --batch are for checkpoints (.pt): an ONNX file has its own")
        with progress() as report:
            report(0, None, "editing and comparing")
            document = _rewritten(model, target, sides, (before_nms, person_only, pixels), images)
    else:
        if before_nms:
            raise UsageError("--before-nms is for ONNX files: a model exported from a checkpoint has no NMS")
        if model.is_dir() and (head is not None or person_only):
            raise UsageError("--head and --person-only are for checkpoints (.pt), not for a transformers folder")
        if random_weights and not model.is_dir():
            raise UsageError("--random-weights is for a transformers folder")
        with progress() as report:
            report(0, None, "loading the model")
            if model.is_dir():
                from detector.optimize.export import transformers_models

                found = transformers_models.load(model, random_weights=random_weights)
                loaded: Loaded = found.network, found.size
            else:
                from detector.optimize.export import ultralytics_models
                from detector.optimize.export.traceable import from_ultralytics

                network = from_ultralytics(ultralytics_models.load(model), head=head, person_only=person_only)
                loaded = network, _DEFAULT_SIZE
            document = _exported(target, loaded, (sides, at_once, person_only, pixels), images, report)
    _print({"output": str(target), **document}, as_json=as_json)


def _of_registry(model: Path, output: Path | None) -> tuple[Path, Path | None]:
    """The file of a registry name, and an output beside nobody's cache; anything else as it is."""
    from detector.models.registry import load_registry

    from .progress import progress

    if model.suffix or model.exists() or len(model.parts) != 1:
        return model, output
    with progress(download=True) as report:
        found = load_registry().resolve(model, report)
    return found.path, output or Path(f"{found.name}-edited.onnx")


def _target(model: Path, output: Path | None) -> Path:
    if model.suffix.lower() not in _SUFFIXES and not model.is_dir():
        raise UsageError(f"{model} is neither a checkpoint (.pt) nor an ONNX model (.onnx) nor a transformers folder")
    if output is not None and output.suffix != ".onnx":
        raise UsageError(f"--output {output}: an ONNX model's file ends in .onnx")
    target = output or (Path(f"{model.resolve().name}.onnx") if model.is_dir() else model.with_suffix(".onnx"))
    if target.exists() and target.resolve() == model.resolve():
        raise UsageError(f"{model} would be overwritten: name another file with --output")
    return target


def _batch(text: str) -> int:
    if text == "dynamic":
        return 0
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 64:
        raise UsageError(f"--batch {text}: give a number from 1 to 64, or dynamic")
    return int(text)


def _exported(
    target: Path, loaded: Loaded, wish: tuple[Any, ...], images: Path | None, report: Progress
) -> dict[str, Any]:
    from detector.optimize.export.export import ExportOptions
    from detector.optimize.export.export import export as make

    network, usual = loaded
    sides, batch, person_only, pixels = wish
    form = ExportOptions(size=sides or usual, batch=batch, person_only=person_only, pixels=pixels)
    pictures, origin = some_pictures(images)
    done = make(network, form, target, pictures, report=report)
    return {
        "layout": done.layout,
        "head": network.head,
        "random_weights": network.bare,
        "input": list(form.size),
        "batch": batch or "dynamic",
        "nodes": done.nodes,
        "bytes": done.size,
        "steps": done.steps,
        "compared_with": "PyTorch",
        "pictures": origin,
        "checked": None if done.checked is None else dataclasses.asdict(done.checked),
    }


def _rewritten(
    model: Path, target: Path, sides: tuple[int, int] | None, wish: tuple[bool, bool, bool], images: Path | None
) -> dict[str, Any]:
    from detector.models.graph import edit
    from detector.models.graph.onnx_file import read
    from detector.models.graph.rewrite import Steps, rewrite
    from detector.models.registry import load_registry

    before_nms, person_only, pixels = wish
    spec = load_registry().resolve(model).spec
    steps = Steps(size=sides, before_nms=before_nms, person_only=person_only, pixels=pixels)
    pictures, origin = some_pictures(images)
    found = rewrite(model, target, steps, pictures, spec=spec)
    made = read(target)
    layout = edit.layout_of(made)
    return {
        "layout": layout.kind,
        "input": [layout.width, layout.height],
        "nodes": len(made.graph.node),
        "bytes": target.stat().st_size,
        "steps": edit.steps_of(made),
        "compared_with": str(model),
        "pictures": origin,
        "checked": dataclasses.asdict(found),
    }


def some_pictures(folder: Path | None, *, count: int = _PICTURES) -> tuple[list[Image], str]:
    """At most `count` pictures of `folder`, else of the sample clip; and where they are from."""
    from detector.capture.pictures import COUNT, folder_pictures
    from detector.models.registry import sample_pictures

    if folder is not None:
        return list(folder_pictures(folder, count=count)), str(folder)
    return list(itertools.islice(sample_pictures(), 0, None, max(1, COUNT // count))), "sample clip"


def _print(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(document))
        return
    width, height = document["input"]
    if document.get("random_weights"):
        typer.echo("its weights are random: it detects nothing, only its speed can be measured")
    typer.echo(f"{document['output']}: {document['layout']}, {width} x {height} px, {document['bytes']} bytes")
    checked = document["checked"]
    if checked is None:
        typer.echo("not compared: it takes several pictures in one run, and the service runs one")
        return
    typer.echo(
        f"compared with {document['compared_with']} on pictures of {document['pictures']}: {checked['persons']} boxes, "
        f"at most {checked['px']:.2g} px and {checked['score']:.2g} in score apart"
    )
