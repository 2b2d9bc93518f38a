"""`detector optimize`: measures every variant of a model on every installed runtime, and keeps the fastest allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detector.core.errors import DetectorError, ModelError, UsageError

from .load import JsonOption
from .values import sides

if TYPE_CHECKING:
    from detector.optimize.study.request import StudyRequest

_Folder = Annotated[Path | None, typer.Option("--calibration", metavar="DIR", help="Pictures to calibrate INT8 with.")]


def optimize(
    model: Annotated[str | None, typer.Option("--model", "-m", metavar="M", help="A name of the registry, or an ONNX file.")] = None,
    calibration: _Folder = None,
    images: Annotated[list[Path], typer.Option("--images", metavar="DIR", help="Pictures to measure accuracy on; may be repeated.")] = [],  # noqa: B006  # Typer copies it
    annotations: Annotated[list[Path], typer.Option("--annotations", metavar="F", help="Their ground truth in COCO format, one for each --images.")] = [],  # noqa: B006  # as above
    max_ap_drop: Annotated[float, typer.Option("--max-ap-drop", metavar="POINTS", help="AP points (hundredths) that the result is shown to lose at most, at the 90 % bound.")] = 0.5,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the results; results in it are reused.")] = Path("optimized"),
    size: Annotated[list[str], typer.Option("--size", metavar="WxH", help="Only these input sizes. Default: the model's own, 4:3 and 16:9.")] = [],  # noqa: B006  # as above
    threads: Annotated[list[int], typer.Option("--threads", metavar="N", min=1, help="Only these numbers of threads. Default: 1, and the usable cores up to 4.")] = [],  # noqa: B006  # as above
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", metavar="F.pt", help="The checkpoint that the model was exported from, for the PyTorch baseline.")] = None,
    candidate: Annotated[list[Path], typer.Option("--candidate", metavar="F.onnx", help="Another version of the same network, such as a pruned one; may be repeated.")] = [],  # noqa: B006  # as above
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", min=3, help="Rounds of three pictures each.")] = 20,
    settle_s: Annotated[float, typer.Option("--settle-s", metavar="S", min=0.0, help="Measure the fastest again, together, for at most so many seconds until they separate; 0: do not.")] = 60.0,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out variants that are seldom the fastest.")] = False,
    recipe: Annotated[Path | None, typer.Option("--recipe", metavar="F.yaml", help="Only make the model of this recipe again.")] = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Try every variant of a model on this machine and keep the fastest within the accuracy budget."""
    if recipe is not None:
        _repeat(recipe, out, as_json=as_json)
        return
    if model is None:
        raise UsageError("which model? give --model, or --recipe to repeat a result")
    from detector.optimize.study import plots

    plots.require()
    request = _request(
        model,
        calibration=calibration,
        images=images,
        annotations=annotations,
        max_drop=max_ap_drop,
        out=out,
        sizes=size,
        threads=threads,
        checkpoint=checkpoint,
        candidates=candidate,
        rounds=rounds,
        quick=quick,
    )
    document = _run(request, model, settle_s=settle_s)
    if as_json:
        typer.echo(json.dumps(document))
    else:
        _print(document, out)
    if document["winner"] is None:
        raise DetectorError(_no_winner(document, out))


def _request(
    model: str,
    *,
    calibration: Path | None,
    images: list[Path],
    annotations: list[Path],
    max_drop: float,
    out: Path,
    sizes: list[str],
    threads: list[int],
    checkpoint: Path | None,
    candidates: list[Path],
    rounds: int,
    quick: bool,
) -> StudyRequest:
    from detector.inference.backends.base import usable_threads
    from detector.models.registry import load_registry
    from detector.optimize.study import data
    from detector.optimize.study.machine import base_size, limits
    from detector.optimize.study.request import StudyRequest

    from .progress import progress

    with progress(download=True) as report:
        found = load_registry().resolve(model, report)
    digest, base = base_size(found.path)
    others = {path.stem: path for path in candidates}
    if len(others) != len(candidates) or "model" in others:
        raise UsageError("two candidates have the same name, or one is called model: rename it")
    for path in candidates:
        base_size(path)
    if checkpoint is not None and not checkpoint.is_file():
        raise ModelError(f"no checkpoint {checkpoint}")
    sets = data.evaluation_sets(images, annotations)
    pictures = None
    if calibration is not None:
        with progress() as report:
            pictures, sets = data.divide(data.calibration(calibration), sets, report)
    return StudyRequest(
        name=found.name,
        path=found.path,
        sha256=digest,
        spec=found.spec,
        base=base,
        sets=sets,
        calibration=pictures,
        limits=limits(
            base,
            shapes=[sides(text) for text in sizes],
            threads=threads or sorted({1, usable_threads(0)}),
            sources=("model", *others),
            calibrated=pictures is not None,
            quick=quick,
        ),
        max_drop=max_drop,
        out=out,
        checkpoint=checkpoint,
        candidates=others,
        rounds=rounds,
    )


def _run(request: StudyRequest, model: str, *, settle_s: float) -> dict[str, Any]:
    from detector.optimize.study.decide import decided
    from detector.optimize.study.publish import publish
    from detector.optimize.study.study import Study

    from .progress import progress

    study = None
    try:
        with progress() as report:
            study = Study(request, progress=report)
            outcome = decided(request, study.run(), limit_s=settle_s, progress=report)
    except KeyboardInterrupt:
        done, total = study.finished if study is not None else (0, 0)
        typer.echo(
            f"detector: {done} of {total} variants are measured and kept in {request.out}: "
            "the same command continues from there",
            err=True,
        )
        raise
    if not outcome.cells:
        raise ModelError(f"no variant could be measured: {next(iter(outcome.failed.values()), 'the grid is empty')}")
    return publish(request, outcome, model)


def _no_winner(document: dict[str, Any], out: Path) -> str:
    least = min(document["cells"], key=lambda row: float(row["drop"]))
    reason = least["not_proven"] or f"the most accurate, {least['label']}, loses {least['drop']:.2f}"
    return (
        f"none of {len(document['cells'])} variants is shown to lose at most {document['max_ap_drop']:g} AP points: "
        f"{reason}; allow more with --max-ap-drop, or give more annotated pictures (the report is {out / 'report.html'})"
    )


def _print(document: dict[str, Any], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from detector.optimize.study.report import certainty

    table = Table(title=f"{document['model']['name']} on {document['machine']}", title_justify="left")
    table.add_column("variant", overflow="fold")
    for column in ("AP points (bound)", "p50 ms", "p99 ms", "x eager", "x ORT", "MB", "MiB"):
        table.add_column(column, justify="right", no_wrap=column != "AP points (bound)")
    for row in document["cells"]:
        table.add_row(*_row(row, document["winner"]), style="bold" if row["key"] == document["winner"] else None)
    console = Console()
    console.print(table)
    for one in document["failed"]:
        console.print(f"left out: {one['label']}: {one['reason']}", highlight=False)
    for one in document["baselines"].values():
        if one["reason"]:
            console.print(f"no baseline {one['label']}: {one['reason']}", highlight=False)
    allowed = document["max_ap_drop"]
    console.print(
        f"*: chosen; -: over the budget of {allowed:g} AP points; ?: not proven to be within", highlight=False
    )
    for line in certainty(document):
        console.print(line, highlight=False)
    if document["winner"] is not None:
        console.print(f"{out / 'model.onnx'}, {out / 'recipe.yaml'}, {out / 'report.html'}", highlight=False)


def _row(row: dict[str, Any], winner: str | None) -> list[str]:
    from detector.optimize.study.report import points

    eager = "-" if row["over_eager"] is None else f"{row['over_eager']:.2f}"
    memory = "-" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
    bound = "none" if row["drop_bound"] is None else points(row["drop_bound"])
    mark = "* " if row["key"] == winner else "  " if row["within_budget"] else "? " if row["not_proven"] else "- "
    wide = (row["high_ms"] - row["low_ms"]) / 2
    return [
        mark + row["label"], f"{points(row['drop'])} ({bound})", f"{row['p50_ms']:.1f} ±{wide:.1f}",
        f"{row['p99_ms']:.1f}", eager, f"{row['over_onnxruntime']:.2f}", f"{row['bytes'] / 1e6:.1f}", memory,
    ]  # fmt: skip


def _repeat(path: Path, out: Path, *, as_json: bool) -> None:
    from detector.optimize.study import recipe as recipes
    from detector.optimize.study.repeat import repeat

    from .progress import progress

    found = recipes.read(path)
    with progress(download=True) as report:
        done = repeat(found, out, report)
    if as_json:
        typer.echo(json.dumps({"model": str(done.file), "sha256": done.sha256, "same": done.same}))
        return
    typer.echo(f"{done.file}: {found.form}, to be run by {found.runtime}")
    if not done.same:
        typer.echo(
            "its bytes differ from the recipe's result, since other versions of the libraries made it: measure it again"
        )
    typer.echo(recipes.config(found, done.file), nl=False)
