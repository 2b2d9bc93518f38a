"""Tuning in a child process, so that its memory, time and failures do not affect the service; no picture on disk."""

from __future__ import annotations

import json
import sys
from typing import BinaryIO

from detector.config.model_settings import Model
from detector.core.errors import DetectorError
from detector.core.progress import Progress, quiet
from detector.inference.input_sizes import InputSize
from detector.models.loading import resolve
from detector.models.registry import sample_pictures

from .candidates import Candidate
from .choice import Choice, place, read, write
from .samples import CalibrationSet, unpack
from .tune import TuneRequest, exact, tune


def encode_request(
    model: Model, shapes: tuple[InputSize, ...], evidence: CalibrationSet | None = None, *, measure: bool = True
) -> bytes:
    """The request: one line of JSON, then the packed pictures; without `measure` only the exact variants are made."""
    head = {"model": model.model_dump(), "shapes": shapes, "evidence": evidence is not None, "measure": measure}
    return json.dumps(head).encode() + b"\n" + (b"" if evidence is None else evidence.pack())


def main(stdin: BinaryIO | None = None) -> int:
    """Carry out a request of `encode_request` and store the choice; returns the exit code."""
    try:
        choice = run((stdin or sys.stdin.buffer).read())
        sys.stdout.write("null\n" if choice is None else json.dumps(choice.document()) + "\n")
    except DetectorError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"the choice cannot be kept: {error.strerror or error}\n")
        return 1
    return 0


def run(order: bytes) -> Choice | None:
    """The stored choice, if one was requested; raises DetectorError, OSError."""
    head, _, rest = order.partition(b"\n")
    wish = json.loads(head)
    model = Model.model_validate(wish["model"])
    shapes = tuple((int(width), int(height)) for width, height in wish["shapes"])
    if not wish["measure"]:
        found = resolve(model)
        exact(found, shapes)
        if model.backend != "auto":
            # Nothing is chosen, but the next start knows which sizes to load.
            before = read(place(model, found))
            if before is None or not before.results:
                write(
                    place(model, found),
                    Choice(taken=Candidate(threads=model.threads), why="as configured", shapes=shapes),
                )
        return None
    return keep(model, shapes, unpack(rest) if wish["evidence"] else None)


def keep(
    model: Model, shapes: tuple[InputSize, ...], evidence: CalibrationSet | None, progress: Progress = quiet
) -> Choice:
    """Tune `model` for `shapes` and store the choice where the service finds it; raises DetectorError, OSError."""
    resolved = resolve(model, progress)
    path = place(model, resolved)
    before = read(path)
    task = TuneRequest(
        model=model,
        resolved=resolved,
        shapes=shapes,
        evidence=evidence,
        built_in=sample_pictures,
        failed={} if before is None else before.failed,
    )
    choice = tune(task, progress)
    now = read(path)
    if evidence is None and now is not None and now != before and now.scenes and now.covers(shapes):
        return now  # stored meanwhile by another process that had pictures
    write(path, choice)
    return choice
