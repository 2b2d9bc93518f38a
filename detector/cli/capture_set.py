"""`detector capture-set`: pictures from your own camera, with consent, for calibration and fine-tuning."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from detector.core.errors import UsageError

from .load import JsonOption
from .run import ConfigOption, find_config


def capture_set(
    camera: Annotated[str, typer.Option("--camera", metavar="NAME", help="A camera of the config.")],
    count: Annotated[int, typer.Option("--count", metavar="N", min=1, max=100_000, help="Number of pictures in all.")],
    config: ConfigOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="The set's folder; a set in it is continued. Default: data_dir/pictures/NAME."
        ),
    ] = None,
    every: Annotated[float, typer.Option("--every", metavar="S", help="At most one picture in S seconds.")] = 10.0,
    yes: Annotated[bool, typer.Option("--yes", help="Consent to storing the pictures; do not ask.")] = False,
    picture_format: Annotated[Literal["jpg", "png"], typer.Option("--format", help="png: no loss, larger.")] = "jpg",
    max_mb: Annotated[int, typer.Option("--max-mb", metavar="N", min=1, help="Largest size of the set, MB.")] = 2000,
    as_json: JsonOption = False,
) -> None:
    """Collect different pictures from a camera to disk, with consent; nothing leaves this machine."""
    from detector.capture.collect import gather
    from detector.capture.picture_folder import PictureStore
    from detector.config import document

    from .progress import progress

    if not 0.05 <= every <= 86_400:
        raise UsageError(f"--every {every:g}: must lie between 0.05 and 86400 seconds")
    settings = document.load(find_config(config))
    if camera not in settings.cameras:
        raise UsageError(f"no camera {camera} in the config; its cameras: {', '.join(settings.cameras)}")
    out = out or settings.data_dir / "pictures" / camera
    _consent(camera, out, count, given=yes)
    store = PictureStore(out, camera=camera, picture_format=picture_format, limit=max_mb << 20)
    with progress() as report:
        done = gather(camera=settings.cameras[camera], store=store, count=count, every_s=every, report=report)
    if as_json:
        typer.echo(json.dumps({"out": str(out), "bytes": store.size, **dataclasses.asdict(done)}))
        return
    typer.echo(f"{out}: {done.pictures} pictures, {done.new} of them new, {store.size / 2**20:.1f} MiB")
    if done.note:
        typer.echo(done.note)


def _consent(camera: str, out: Path, count: int, *, given: bool) -> None:
    """Ask for consent on a terminal; raises UsageError without a terminal, Abort if the answer is no."""
    if given:
        return
    if not sys.stdin.isatty():
        raise UsageError("this stores pictures in which people can be recognised: add --yes to consent")
    typer.echo(
        f"Up to {count} pictures of camera {camera} will be stored in {out}, unencrypted, on this machine only. "
        "People in them can be recognised: continue only if you may film there and the people who live there know.",
        err=True,
    )
    typer.confirm("Store them?", abort=True, err=True)
