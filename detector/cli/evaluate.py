"""`detector evaluate`: person AP on a COCO-format data set."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from .load import DEFAULT_MODEL, BackendOption, JsonOption, ModelOption, ShapeOption


def evaluate(
    images: Annotated[Path, typer.Option("--images", metavar="DIR", help="The folder of pictures.")],
    annotations: Annotated[Path, typer.Option("--annotations", metavar="COCO.json", help="Their ground truth.")],
    model: ModelOption = DEFAULT_MODEL,
    backend: BackendOption = "auto",
    shape: ShapeOption = "own",
    as_json: JsonOption = False,
) -> None:
    """Measure person AP with pycocotools, by default at the model's own input size, as published figures are."""
    from detector.models.accuracy.average_precision import EVALUATION_FLOOR
    from detector.models.accuracy.average_precision import evaluate as measure

    from .load import load
    from .progress import progress

    detector = load(model, backend=backend, score_floor=EVALUATION_FLOOR, shape=shape)
    with progress() as report:
        result = measure(
            detector=detector,
            images=images,
            annotations=annotations,
            progress=report,
        )
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(result)))
        return
    _print_table(detector.model_name, dataclasses.asdict(result))


def _print_table(model: str, figures: dict[str, float | int | None]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{model}: person AP", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else "none" if value is None else str(value))
    Console().print(table)
