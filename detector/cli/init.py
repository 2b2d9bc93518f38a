"""`detector init`: a commented starter config."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from detector.core.errors import UsageError


def starter() -> str:
    """The text of the starter config, which is shipped in the package; a test validates it."""
    return resources.files("detector.config").joinpath("starter.yaml").read_text(encoding="utf-8")


def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="Where to write it.")] = Path("detector.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented starter config."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        # 0600: camera and broker passwords will end up in it.
        with os.fdopen(os.open(file, flags, 0o600), "w", encoding="utf-8") as out:
            out.write(starter())
    except FileExistsError:
        raise UsageError(f"{file} exists: name another file, or overwrite it with --force") from None
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from None
    typer.echo(f"wrote {file}: set your camera's source in it, then run: detector check -c {file}")
