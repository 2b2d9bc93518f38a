"""`detector models`: what the registry holds, and what of it is here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .load import JsonOption

if TYPE_CHECKING:
    from detector.models import Registry

app = typer.Typer(help="List, fetch and verify the models of the registry.", no_args_is_help=True)


def _rows(registry: Registry) -> list[dict[str, Any]]:
    rows = []
    for name in registry.names():
        entry, path = registry.entry(name), registry.path(name)
        rows.append(
            {
                "name": name,
                "licence": entry.licence,
                "input": f"{entry.input.width}x{entry.input.height}",
                "size": entry.size,
                "sha256": entry.sha256,
                "measured": entry.measured,
                "cached": path.is_file(),
                "path": str(path),
                "sources": [source.kind for source in entry.sources],
                "description": entry.description,
            }
        )
    return rows


def _figures(measured: dict[str, dict[str, Any]], key: str) -> str:
    found = [f"{figures[key]:.3f} {where}" for where, figures in measured.items() if key in figures]
    return "\n".join(found) or "-"


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """Print the registry: name, licence, input, source, hash, size, accuracy, speed."""
    from detector.models import load_registry

    rows = _rows(load_registry())
    if as_json:
        typer.echo(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title="models", title_justify="left")
    for column in ("name", "licence", "input", "MiB", "sha256", "person AP50", "ms", "sources", "here"):
        table.add_column(column, overflow="fold")
    for row in rows:
        accuracy, speed = _figures(row["measured"], "ap50"), _figures(row["measured"], "infer_ms_median")
        size, here = f"{row['size'] / 2**20:.1f}", "yes" if row["cached"] else "no"
        sources = ", ".join(dict.fromkeys(row["sources"]))
        table.add_row(
            row["name"], row["licence"], row["input"], size, row["sha256"][:12], accuracy, speed, sources, here
        )
    Console().print(table)


@app.command("get")
def get(name: Annotated[str, typer.Argument(metavar="NAME", help="A registry name.")]) -> None:
    """Fetch a model into the cache; what is there and intact is not fetched again."""
    from detector.models import load_registry

    from .progress import progress

    with progress(download=True) as report:
        path = load_registry().fetch(name, report)
    typer.echo(str(path))


@app.command("verify")
def verify(as_json: JsonOption = False) -> int:
    """Check every cached file against its pinned hash; exit 1 if one is damaged."""
    from detector.models import load_registry

    states = load_registry().verify()
    if as_json:
        typer.echo(json.dumps({state.name: state.status for state in states}))
    else:
        for state in states:
            typer.echo(f"{state.name}: {state.status}")
    damaged = [state for state in states if state.status == "corrupt"]
    for state in damaged:
        typer.echo(f"detector: {state.path} is damaged: remove it and fetch it again", err=True)
    return 1 if damaged else 0
