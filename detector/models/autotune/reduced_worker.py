"""The child process that makes and measures smaller forms: a request on stdin, the forms as JSON on stdout."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import BinaryIO

from detector.config.model_settings import Model
from detector.core.errors import DetectorError
from detector.core.processes import end_with_parent
from detector.inference.input_sizes import InputSize

from .reduced import ReducedForm, reduced_forms

COMMAND = (sys.executable, "-m", "detector.models.autotune.reduced_worker")


def encode_request(model: Model, frame_sizes: Sequence[InputSize], scenes: Sequence[str]) -> bytes:
    return json.dumps({"model": model.model_dump(), "frame_sizes": frame_sizes, "scenes": scenes}).encode()


def decode_answer(answer: bytes) -> list[ReducedForm]:
    """Raises DetectorError for what is no answer."""
    try:
        return [
            ReducedForm(name=str(each["name"]), size=(int(each["size"][0]), int(each["size"][1])), cost=each["cost"])
            for each in json.loads(answer)
        ]
    except (ValueError, TypeError, KeyError, IndexError):
        raise DetectorError("the measurement of smaller models did not say what it measured") from None


def main(stdin: BinaryIO | None = None) -> int:
    """Carry out a request of `encode_request`; returns the exit code."""
    wish = json.loads((stdin or sys.stdin.buffer).read())
    sizes = [(int(width), int(height)) for width, height in wish["frame_sizes"]]
    try:
        forms = reduced_forms(Model.model_validate(wish["model"]), sizes, list(wish["scenes"]))
    except DetectorError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps([dataclasses.asdict(form) for form in forms]) + "\n")
    return 0


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main())
