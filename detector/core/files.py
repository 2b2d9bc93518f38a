"""Files: where fetched ones are kept, how one is put in place for good, its SHA-256."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from .errors import ModelError


def existing_file(path: Path) -> Path:
    """`path` when it is a file with something in it; raises ModelError."""
    if path.is_dir():
        raise ModelError(f"{path} is a folder: give the .onnx file itself")
    if not path.is_file():
        raise ModelError(f"no model file {path}")
    if path.stat().st_size == 0:
        raise ModelError(f"{path} is empty: fetch it again")
    return path


def cache_dir(environment: Mapping[str, str] | None = None) -> Path:
    """Where fetched files are kept."""
    environment = os.environ if environment is None else environment
    if own := environment.get("DETECTOR_CACHE"):
        return Path(own).expanduser()
    # The XDG specification: a relative path there is to be ignored.
    xdg = Path(environment.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "detector"


def install(file: Path, path: Path) -> None:
    """Give the file its name at once and for good: a power cut leaves the whole file or none."""
    file.chmod(0o644)
    for item in (file, path.parent):
        if item == path.parent:
            file.replace(path)
        handle = os.open(item, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


_CHUNK = 1 << 20


def file_sha256(path: Path) -> str:
    """The file's SHA-256 in lower-case hex."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()
