"""`detector models`: lists, downloads and verifies the models of the registry."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .load import JsonOption

app = typer.Typer(help="List, download and verify the models of the registry.", no_args_is_help=True)


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """Print the registry: name, licence, input size, sources, sha256, size, accuracy, speed."""
    from detector.models.registry import load_registry

    rows = load_registry().describe()
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        # One block of lines per model, since nine columns do not fit a terminal.
        size = f"{row['size'] / 2**20:.1f} MiB"
        typer.echo(f"{row['name']}  {row['input']}  {size}  {row['licence']}  {row['here']}")
        typer.echo(f"    {row['description']}")
        for key in ("sha256", "accuracy", "speed", "sources"):
            typer.echo(f"    {key:9} {row[key] or 'not measured yet'}")


@app.command("get")
def get(name: Annotated[str, typer.Argument(metavar="NAME", help="A name of the registry.")]) -> None:
    """Download a model into the cache, unless an intact copy is there."""
    from detector.models.registry import load_registry

    from .progress import progress

    with progress(download=True) as report:
        path = load_registry().fetch(name, report)
    typer.echo(str(path))


@app.command("verify")
def verify(as_json: JsonOption = False) -> int:
    """Check every cached file against its pinned sha256; exit code 1 if one is damaged."""
    from detector.models.registry import load_registry

    states = load_registry().verify()
    if as_json:
        typer.echo(json.dumps(states))
    else:
        for name, state in states.items():
            typer.echo(f"{name}: {state}")
    return 1 if "corrupt" in states.values() else 0
