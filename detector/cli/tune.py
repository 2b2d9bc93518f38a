"""`detector tune`: chooses the variant of the model as `backend: auto` does, now, on pictures that you have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detector.core.errors import UsageError

from .load import JsonOption
from .run import ConfigOption, find_config
from .values import sides

if TYPE_CHECKING:
    from rich.table import Table

    from detector.config.schema import Config
    from detector.models.autotune.offline import OfflineResult

_SIZE = (1920, 1080)
_EFFECT = "a running service switches to it within seconds, any other at its next start"


def tune(
    config: ConfigOption = None,
    pictures: Annotated[
        list[str] | None,
        typer.Option(
            "--pictures",
            metavar="[CAMERA=]PATH",
            help="A folder, a picture or a clip of what a camera sees, to calibrate INT8 with; may be repeated.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="WxH", help="Picture size of cameras without --pictures. Default: 1920x1080."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Choose the variant of the config's model for this machine now: measure, check, keep. Needs `backend: auto`."""
    from detector.config import document
    from detector.models.autotune.choice import scenes_of
    from detector.models.autotune.offline import OfflineRequest, check, tune_offline
    from detector.models.loading import resolve

    from .progress import progress

    settings = document.load(find_config(config))
    given = _given(pictures or [], settings)
    without = sorted(set(scenes_of(settings).values()) - set(given))
    if size is not None and not without:
        raise UsageError(f"--size {size}: every camera has pictures, and their size is used; leave it out")
    order_size = _SIZE if size is None else sides(size)
    with progress(download=True) as report:
        found = resolve(settings.model, report)
    check(settings.model, found)
    with progress() as report:
        done = tune_offline(OfflineRequest(config=settings, resolved=found, given=given, size=order_size), report)
    if as_json:
        typer.echo(json.dumps(_document(done, found.name)))
        return
    _print(done, found.name, guessed=without if size is None else [])


def _given(pictures: list[str], settings: Config) -> dict[str, list[Path]]:
    """The paths by camera; raises UsageError."""
    cameras = [name for name, camera in settings.cameras.items() if camera.enabled]
    given: dict[str, list[Path]] = {}
    for text in pictures:
        name, path = _attributed(text, cameras)
        if not path.exists():
            raise UsageError(f"--pictures {text}: no such file or folder: {path}")
        given.setdefault(name, []).append(path)
    return given


def _attributed(text: str, cameras: list[str]) -> tuple[str, Path]:
    name, sign, rest = text.partition("=")
    if sign and name in cameras:
        return name, Path(rest).expanduser()
    # A path may contain the sign, too.
    if len(cameras) == 1 and (not sign or Path(text).expanduser().exists()):
        return cameras[0], Path(text).expanduser()
    known = ", ".join(cameras) or "none"
    if sign:
        raise UsageError(f"--pictures {text}: no enabled camera {name} in the config; its enabled cameras: {known}")
    raise UsageError(f"--pictures {text}: say of which camera, as {(cameras or ['CAMERA'])[0]}={text}; known: {known}")


def _document(done: OfflineResult, model: str) -> dict[str, Any]:
    return {
        "model": model,
        **done.choice.summary(),
        "without_int8": done.without_int8,
        "left_out": done.choice.failed,
        "replaced_a_choice_by_pictures": done.lost,
        "pictures": {
            name: {
                "looked_at": seen.looked,
                "with_persons": len(seen.peopled),
                "without": len(seen.empty),
                "visits": seen.visits,
            }
            for name, seen in done.footage.items()
        },
        "sees": {name: seen.lines() if seen else [] for name, seen in done.seen.items()},
        "kept": str(done.kept),
    }


def _print(done: OfflineResult, model: str, *, guessed: list[str]) -> None:
    from rich.console import Console

    Console(highlight=False).print(_table(done, model))
    for name, seen in done.footage.items():
        kept = f"kept {len(seen.peopled)} with persons (visits: {seen.visits}) and {len(seen.empty)} without"
        typer.echo(f"{name}: looked at {seen.looked} pictures or frames of {seen.size[0]}x{seen.size[1]}, {kept}")
    for name, sees in done.seen.items():
        what = sees.lines() if sees else ["what it can see was not tried: its pictures show nobody"]
        typer.echo(f"{name}: {'; '.join(what)}")
    if guessed:
        typer.echo(f"{', '.join(guessed)}: assumed to give {_SIZE[0]}x{_SIZE[1]}; if not, add --size WxH")
    if done.without_int8 is not None:
        typer.echo(f"INT8 was not tried: {done.without_int8}")
    for form, why in done.choice.failed.items():
        typer.echo(f"left out because it failed in operation: {form}: {why}")
    if done.lost:
        typer.echo("this choice, made without pictures, replaces an earlier one that was made with pictures")
    typer.echo(f"chosen: {done.choice.taken}: {done.choice.why}")
    typer.echo(f"kept in {done.kept}: {_EFFECT}")


def _table(done: OfflineResult, model: str) -> Table:
    from rich.table import Table

    width, height = done.choice.shapes[0]
    table = Table(title=f"{model} at {width}x{height} on this machine", title_justify="left")
    table.add_column("variant")
    for column in ("ms", "CPU ms"):
        table.add_column(column, justify="right")
    table.add_column("rejected because", overflow="fold")
    for each in done.choice.results:
        name = f"[bold]{each.form}[/]" if each.form == done.choice.taken else str(each.form)
        costs = ("-" if value is None else f"{value:.2f}" for value in (each.ms, each.cpu_ms))
        table.add_row(name, *costs, each.refused or "")
    return table
