"""`detector bench`: measures detection on this machine."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .load import DEFAULT_MODEL, BackendOption, JsonOption, ModelOption, ShapeOption, ThreadsOption

if TYPE_CHECKING:
    from detector.models.benchmark import Benchmark


def bench(
    model: ModelOption = DEFAULT_MODEL,
    source: Annotated[Path | None, typer.Option("--source", metavar="VIDEO", help="Default: the sample clip.")] = None,
    backend: BackendOption = "auto",
    threads: ThreadsOption = 0,
    frames: Annotated[int, typer.Option("--frames", metavar="N", min=20, help="Number of frames.")] = 200,
    shape: ShapeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure each stage, frames per second, CPU, memory, and the pipeline's time over the bare model's."""
    from detector.models.benchmark import benchmark
    from detector.models.registry import load_registry

    from .load import load
    from .progress import progress

    detector = load(model, backend=backend, threads=threads, shape=shape)
    with progress(download=True) as report:
        clip = source or load_registry().fetch_clip("bikes", report)
    with progress() as report:
        figures = benchmark(detector=detector, source=clip, frames=frames, progress=report)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(figures)))
        return
    _print(figures)


def _print(figures: Benchmark) -> None:
    from rich.console import Console
    from rich.table import Table

    title = (
        f"{figures.model} on {figures.backend} {figures.precision}, {figures.source} {figures.width}x{figures.height}"
    )
    table = Table(title=title, title_justify="left")
    for column in ("stage", "p50 ms", "p99 ms"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage, values in figures.stages.items():
        table.add_row(stage.replace("_", " "), f"{values['p50']:.2f}", f"{values['p99']:.2f}")
    console = Console()
    console.print(table)
    console.print(f"{figures.fps:.1f} frames/s, {figures.cpu_percent:.0f} % CPU, {figures.peak_rss_mb:.0f} MiB at most")
    console.print(f"pipeline over the bare model: {figures.pipeline_over_model_ratio:.3f}")
