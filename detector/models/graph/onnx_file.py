"""Reads and writes ONNX files, with errors of one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import onnx

from detector.core.errors import ModelError, one_line
from detector.core.files import existing_file, replacing


def read(path: Path) -> onnx.ModelProto:
    """The model at `path`; raises ModelError."""
    try:
        return onnx.load(str(existing_file(path)))
    except ModelError:
        raise
    except Exception as error:  # protobuf's and onnx's share no public base
        raise ModelError(f"{path} is not an ONNX model, or is cut short: {one_line(error)}") from None


@contextlib.contextmanager
def writing(output: Path) -> Iterator[Path]:
    """`core.files.replacing`; raises ModelError if the file cannot be written."""
    try:
        with replacing(output) as part:
            yield part
    except OSError as error:
        raise ModelError(
            f"cannot write {output.parent}: {error.strerror or error}; make room or choose another"
        ) from None
