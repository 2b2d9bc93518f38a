"""`detector models`: lists, downloads and verifies the models of the registry, and inspects any model file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from detector.core.errors import ModelError, one_line

from .load import JsonOption

if TYPE_CHECKING:
    from detector.models.inspection import Inspection

app = typer.Typer(help="List, download, verify and inspect models.", no_args_is_help=True)


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


@app.command("inspect")
def inspect(
    model: Annotated[str, typer.Argument(metavar="FILE", help="A model file, or a name of the registry.")],
    as_json: JsonOption = False,
) -> None:
    """Show what a model file looks like, what it is taken for, and which keys of the config would change that."""
    from detector.models.inspection import inspected
    from detector.models.registry import load_registry

    from .progress import progress

    with progress(download=True) as report:
        found = load_registry().resolve(model, report)
    seen = inspected(found)
    if as_json:
        typer.echo(json.dumps(seen.document()))
    else:
        typer.echo("\n".join(_lines(seen)))
    if seen.why is not None:
        raise ModelError(f"{found.path.name}: {seen.why}")


def _lines(seen: Inspection) -> list[str]:
    lines = [f"{seen.file}: {seen.precision}, by {seen.backend}"]
    lines += [f"    input    {spec}" for spec in seen.inputs]
    lines += [f"    output   {spec}" for spec in seen.outputs]
    lines += [f"    {key}: {one_line(text)}" for key, text in seen.metadata.items()]
    if seen.layout is None:
        return [*lines, "not understood"]
    lines.append(f"taken for {seen.layout}")
    if seen.layout.note:
        lines.append(seen.layout.note)
    return [
        *lines,
        "keys of the config that would change it:",
        *(f"    {key}: {now}" for key, now in seen.keys.items()),
    ]


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
