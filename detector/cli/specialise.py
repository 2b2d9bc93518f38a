"""`detector specialise`: a smaller model taught on one camera's own pictures, judged, and offered where it holds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detector.core.errors import ModelError, UsageError

from .load import JsonOption
from .run import ConfigOption, find_config
from .values import INPUT_MULTIPLE, sides

if TYPE_CHECKING:
    from detector.core.progress import Progress
    from detector.models.registry import Registry
    from detector.optimize.prune.plan import PrunePlan
    from detector.optimize.specialise.job import SpecialiseRequest, SpecialiseResult

_INSTALL = "PyTorch is not installed: docs/commands.md, under export, says how to install it"


def specialise(
    camera: Annotated[str, typer.Option("--camera", metavar="NAME", help="A camera of the config.")],
    config: ConfigOption = None,
    pictures: Annotated[
        list[Path] | None,
        typer.Option("--pictures", metavar="PATH", help="A folder of pictures or a clip of it; may be repeated."),
    ] = None,
    from_history: Annotated[
        bool,
        typer.Option("--from-history", help="Use what capture-set gathered in data_dir/pictures/NAME, its default."),
    ] = False,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations", metavar="COCO.json", help="Persons in the one folder of --pictures; they judge, then."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="F.onnx", help="Default: data_dir/specialists/NAME.onnx."),
    ] = None,
    student: Annotated[
        str, typer.Option("--student", metavar="NAME", help="The registry model to teach; one with YOLOX's raw grid.")
    ] = "yolox-nano",
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher", metavar="M", help="A model that teaches; may be repeated. Default: all but the two compared."
        ),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            "--size", metavar="WxH", help="The student's input; may be repeated, cheapest first. Default: two that fit."
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, max=1_000_000, help="Steps of teaching.")] = 200,
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, max=256, help="Pictures a step.")] = 8,
    rate: Annotated[float, typer.Option("--rate", metavar="R", help="The highest learning rate.")] = 1e-4,
    judges: Annotated[
        float,
        typer.Option("--judge", metavar="SHARE", help="The last share of the pictures, which judges, 0.1 to 0.9."),
    ] = 0.34,
    max_loss: Annotated[
        float, typer.Option("--max-loss", metavar="L", help="AP50 and found persons it may lose at the most, 0 to 1.")
    ] = 0.02,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="The same seed gives the same file.")] = 0,
    threads: Annotated[int, typer.Option("--threads", metavar="N", min=1, max=64, help="CPU threads.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Teach a small model on one camera's pictures, and keep it only if it sees what the general model sees."""
    from detector.config import document
    from detector.models.loading import resolve
    from detector.models.registry import load_registry

    from .progress import progress

    settings = document.load(find_config(config))
    if camera not in settings.cameras:
        raise UsageError(f"no camera {camera} in the config; its cameras: {', '.join(settings.cameras)}")
    _check(rate, judges, max_loss)
    paths = _paths(pictures, settings.data_dir / "pictures" / camera if from_history else None)
    if annotations is not None and (len(paths) != 1 or not paths[0].is_dir()):
        raise UsageError("--annotations are of one folder: give --pictures DIR once, and nothing else")
    target = _target(output, settings.data_dir / "specialists" / f"{camera}.onnx")
    fitting = tuple(sides(text, multiple=INPUT_MULTIPLE) for text in size or ())
    _require()
    from detector.optimize.specialise.job import SpecialiseRequest
    from detector.optimize.specialise.training import TrainingPlan

    with progress(download=True) as report:
        registry = load_registry()
        general = resolve(settings.model, report)
        taught = registry.resolve(student, report)
        teachers = tuple(teacher) if teacher else _teachers(registry, (student, general.name), report)
    order = SpecialiseRequest(
        camera=camera,
        paths=paths,
        general=general,
        student=taught,
        teachers=teachers,
        output=target,
        plan=TrainingPlan(steps=steps, batch=batch, rate=rate, seed=seed),
        sizes=fitting,
        annotations=annotations,
        judges=judges,
        max_loss=max_loss,
        threads=threads,
    )
    _carry_out(order, registry, as_json=as_json)


def _carry_out(order: SpecialiseRequest, registry: Registry, *, as_json: bool) -> None:
    from detector.optimize.specialise.job import carry_out

    from .progress import progress

    try:
        with progress() as report:
            done = carry_out(order, registry, report=report, announce=_announce)
    except KeyboardInterrupt:
        if order.work.exists():
            typer.echo(f"detector: kept in {order.work}: the same command continues from there", err=True)
        raise
    if as_json:
        typer.echo(json.dumps(done.to_json()))
    else:
        _print(order, done)
    if done.offered is None:
        raise ModelError(f"no specialist for {order.camera}: {_why(done)}; the model that serves stays as it is")


def _require() -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before PyTorch is imported: waiting threads leave the cores
    try:
        import detector.optimize.specialise.training  # noqa: F401
    except ImportError:
        raise ModelError(_INSTALL) from None


def _check(rate: float, judges: float, max_loss: float) -> None:
    if not 0.0 < rate <= 1.0:
        raise UsageError(f"--rate {rate:g}: must lie in 0..1")
    if not 0.1 <= judges <= 0.9:
        raise UsageError(f"--judge {judges:g}: must lie in 0.1..0.9")
    if not 0.0 <= max_loss <= 1.0:
        raise UsageError(f"--max-loss {max_loss:g}: must lie in 0..1")


def _paths(pictures: list[Path] | None, gathered: Path | None) -> tuple[Path, ...]:
    if gathered is not None and not gathered.is_dir():
        raise UsageError(f"--from-history: no pictures in {gathered}: gather some with detector capture-set")
    found = tuple(path.expanduser() for path in pictures or ()) + (() if gathered is None else (gathered,))
    if not found:
        raise UsageError("give pictures of the camera: --pictures PATH, or --from-history")
    return found


def _target(given: Path | None, usual: Path) -> Path:
    if given is None:
        return usual
    if given.suffix != ".onnx":
        raise UsageError(f"--output {given}: its name must end in .onnx")
    if not given.parent.is_dir():
        raise UsageError(f"--output: there is no folder {given.parent}")
    return given


def _teachers(registry: Registry, compared: tuple[str, ...], report: Progress) -> tuple[str, ...]:
    """Every registry model that can be had, but the student and the model that it is compared with.

    A model that had a vote on the labels would be judged by its own word.
    """
    found = []
    for name in registry.names():
        if name in compared:
            continue
        try:
            registry.fetch(name, report)
        except ModelError as error:
            typer.echo(f"detector: {name} does not teach: {error}", err=True)
        else:
            found.append(name)
    return tuple(found)


def _announce(plan: PrunePlan) -> None:
    for line in plan.lines():
        typer.echo(line, err=True)


def _why(done: SpecialiseResult) -> str:
    reasons = [
        f"{size} by {light}: {'; '.join(one.reasons)}"
        for size, found in done.tried.items()
        for light, one in found.items()
    ]
    return " | ".join(reasons)


def _print(order: SpecialiseRequest, done: SpecialiseResult) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{order.camera}: {done.pictures['taught']} pictures taught, {done.pictures['judged']} others judge",
        title_justify="left",
    )
    for column in ("model", "light", "ms", "AP50", "found", "IoU", "visits", "false", "lost"):
        left = column in ("model", "light")
        table.add_column(column, justify="left" if left else "right", no_wrap=left)
    for size, found in done.tried.items():
        for light, one in found.items():
            for name, key, each in (("general", "general", one.general), (size, size, one.student)):
                bound = "" if name == "general" or "ap50" not in one.bounds else f"{one.bounds['ap50']:.3f}"
                figures = f"{each.ap50:.3f}", f"{each.found:.3f}", f"{each.iou:.3f}", f"{each.visits}/{one.visits}"
                table.add_row(name, light, f"{done.ms[key]:.1f}", *figures, str(each.false_visits), bound)
    console = Console(highlight=False)
    console.print(table)
    for note in done.notes:
        console.print(note)
    if done.offered is not None:
        size = f"{done.offered[0]}x{done.offered[1]}"
        console.print(
            f"{done.output}: for {order.camera} by {' and '.join(done.lights)}, input {size}, "
            f"{done.ms['general'] / done.ms[size]:.1f} times as fast as {order.general.name}"
        )
