"""`detector replay`: a recorded clip through the service's tracking and rules, on media time."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO, Annotated

import typer

from detector.core.errors import UsageError

from .run import ConfigOption, find_config


def _open_output(path: Path | None) -> IO[str]:
    if path is None:
        return sys.stdout
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def replay(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="The recorded clip.")],
    camera: Annotated[
        str, typer.Option("--camera", metavar="NAME", help="The camera of the config whose settings apply.")
    ],
    config: ConfigOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="F.jsonl", help="Default: stdout.")] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Also what each look at a person who is not confirmed yet tells, as a sum."),
    ] = False,
) -> None:
    """Write the events and alerts that the service would publish for VIDEO, one JSON object a line."""
    from detector.capture.factory import file_source
    from detector.config import document
    from detector.models.loading import resolve
    from detector.service.replay import replay as run_replay

    from .load import load
    from .progress import progress

    settings = document.load(find_config(config))
    if camera not in settings.cameras:
        raise UsageError(f"no camera {camera} in the config; its cameras: {', '.join(settings.cameras)}")
    chosen = settings.model
    # The choice of auto depends on the machine and its measurements; a replay's output must not.
    backend = "onnxruntime" if chosen.backend == "auto" and not chosen.name.endswith(".engine") else chosen.backend
    detector = load(chosen.name, backend=backend, precision=chosen.precision, threads=chosen.threads)
    curves = resolve(chosen).curves
    if explain and curves is None:
        raise UsageError(f"--explain: what the scores of {chosen.name} tell was not measured; leave it out")
    source = file_source(video)
    source.open()  # before the output is truncated: a wrong name must not destroy the last result
    out = _open_output(output)
    try:
        with progress() as report:
            lines = run_replay(
                config=settings,
                camera=camera,
                source=source,
                detector=detector,
                progress=report,
                curves=curves,
                explain=explain,
            )
            for line in lines:
                out.write(json.dumps(line, separators=(",", ":")) + "\n")
        out.flush()
    finally:
        source.close()
        if out is not sys.stdout:
            out.close()
