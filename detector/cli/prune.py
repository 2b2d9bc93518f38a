"""`detector prune`: a checkpoint with fewer channels, fine-tuned on your own pictures, and its loss in accuracy."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detector.core.errors import UsageError

from .load import JsonOption
from .values import labelled, sides

if TYPE_CHECKING:
    from detector.optimize.prune.job import Lessons
    from detector.optimize.prune.plan import PrunePlan


def prune(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL.pt", help="An ultralytics detection checkpoint, or a registry name that has one."
        ),
    ],
    macs: Annotated[
        float, typer.Option("--macs", metavar="SHARE", help="The share of the multiply-accumulates to keep, 0.2 to 1.")
    ] = 0.9,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="F.pt|F.onnx", help="Default: MODEL-pruned.pt.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Pictures, labelled or not, to rank channels and fine-tune with."),
    ] = None,
    data_annotations: Annotated[
        Path | None,
        typer.Option("--data-annotations", metavar="COCO.json", help="Persons in those pictures, if annotated."),
    ] = None,
    length: Annotated[
        str,
        typer.Option("--finetune", metavar="STEPS|Ne", help="Length of fine-tuning: steps, or epochs as 10e; 0: none."),
    ] = "0",
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="Pictures to measure accuracy on.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option("--annotations", metavar="COCO.json", help="Their ground truth.")
    ] = None,
    size: Annotated[
        str, typer.Option("--size", metavar="WxH", help="Input size to measure accuracy and time at, px.")
    ] = "640x640",
    train_size: Annotated[
        str, typer.Option("--train-size", metavar="WxH", help="Input size to fine-tune at, px.")
    ] = "320x320",
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, max=256, help="Pictures per step.")] = 8,
    rate: Annotated[float, typer.Option("--rate", metavar="R", help="The highest learning rate.")] = 2e-5,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="The same seed gives the same network.")] = 0,
    threads: Annotated[
        int, typer.Option("--threads", metavar="N", min=0, help="CPU threads; 0: PyTorch's choice.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Prune a checkpoint's channels to a share of its multiply-accumulates, and fine-tune the rest."""
    source = _checkpoint(model)
    target = _target(source, output)
    if not 0.0 < rate <= 1.0:
        raise UsageError(f"--rate {rate:g}: must lie in 0..1")
    steps, epochs = _length(length)
    sizes = _input(size, "--size"), _input(train_size, "--train-size")
    truth = labelled(images, annotations)
    if truth is not None:  # an hour of fine-tuning must not end at a missing picture
        from detector.models.accuracy.average_precision import read_truth

        read_truth(truth.annotations, truth.images)
    from detector.optimize.export import ultralytics_models

    from .progress import progress

    ultralytics_models.require(threads=threads)  # says how to get it before anything that needs it is imported
    from detector.optimize.prune.job import Lessons, PruneRequest, carry_out

    lessons: Lessons | None = None
    if data is not None:
        lessons = Lessons(
            folder=data, annotations=data_annotations, size=sizes[1], steps=steps, epochs=epochs, batch=batch, rate=rate
        )
    elif steps or epochs or data_annotations:
        raise UsageError("--data DIR is missing: fine-tuning needs pictures")
    order = PruneRequest(model=source, output=target, macs=macs, size=sizes[0], truth=truth, lessons=lessons, seed=seed)
    try:
        with progress() as report:
            done = carry_out(order, report=report, announce=_announce)
    except KeyboardInterrupt:
        if order.work.exists():
            typer.echo(f"detector: kept in {order.work}: the same command continues from there", err=True)
        raise
    if as_json:
        typer.echo(json.dumps(done))
        return
    _print(done)


def _announce(plan: PrunePlan) -> None:
    for line in plan.lines():
        typer.echo(line, err=True)


def _checkpoint(model: str) -> Path:
    """The file itself, or the checkpoint that lies beside a registry model's file, in $DETECTOR_MODELS or here."""
    from detector.models.registry import load_registry

    path = Path(model).expanduser()
    if path.suffix == ".pt":
        return path
    registry = load_registry()
    registry.check_name(model)
    if model not in registry.names():
        raise UsageError(f"{model} is no checkpoint: only a PyTorch checkpoint (.pt) can be pruned")
    beside, own = registry.path(model).parent, os.environ.get("DETECTOR_MODELS")
    for folder in (Path(), beside, *([Path(own)] if own else [])):
        if (folder / f"{model}.pt").is_file():
            return folder / f"{model}.pt"
    raise UsageError(
        f"{model} is an ONNX model, and only a PyTorch checkpoint (.pt) can be pruned: get its {model}.pt, "
        f"and name it or put it into {beside}"
    )


def _target(model: Path, output: Path | None) -> Path:
    target = output or model.with_name(f"{model.stem}-pruned.pt")
    if target.suffix not in (".pt", ".onnx"):
        raise UsageError(f"--output {target}: its name must end in .pt or .onnx")
    if target.resolve() == model.resolve():
        raise UsageError(f"--output {target} would overwrite the model itself: name another file")
    return target


def _length(text: str) -> tuple[int, int]:
    """Steps and epochs, one of them 0."""
    found = re.fullmatch(r"(\d{1,7})(e?)", text)
    if not found:
        raise UsageError(f"--finetune {text}: give a number of steps, or of epochs as 10e")
    return (0, int(found[1])) if found[2] else (int(found[1]), 0)


def _input(text: str, option: str) -> tuple[int, int]:
    found = sides(text, option, square=True)
    if any(side % 32 or not 64 <= side <= 2048 for side in found):
        raise UsageError(f"{option} {text}: both sides must be multiples of 32, from 64 to 2048")
    return found


def _print(done: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{done['output']}: {done['macs_kept']:.0%} of the work", title_justify="left")
    for column in ("", "GMACs", "parameters", "AP", "AP50", "AP points (bound)"):
        table.add_column(column, justify="right" if column else "left")
    for name, stage in done["stages"].items():
        accuracy = ("-" if stage[key] is None else f"{stage[key]:.3f}" for key in ("ap", "ap50"))
        lost = "-" if stage["drop"] is None else f"{-stage['drop']:+.2f} ({-stage['bound']:+.2f})"
        table.add_row(name, f"{stage['macs'] / 1e9:.2f}", f"{stage['parameters']:,}", *accuracy, lost)
    console = Console()
    console.print(table)
    for engine, times in done["latency_ms"].items():
        console.print(
            f"{engine}: {times['before']:.1f} ms before, {times['after']:.1f} ms after, one thread: "
            f"{done['speedup']:.2f} times as fast"
        )
    console.print(f"file: {done['bytes_before']:,} bytes before, {done['bytes']:,} after")
    if done["pictures"]:
        console.print(done["pictures"], highlight=False)
    if done["finetune"] is None:
        console.print("not fine-tuned: a pruned network detects far fewer people without it; use --data and --finetune")
