"""Imports third-party training packages without telemetry and without installs."""

from __future__ import annotations

import atexit
import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import Any

# Read by ultralytics when it is imported, some of them later too.
_SETTINGS = {
    "YOLO_OFFLINE": "true",  # no DNS look-up, no analytics, no version check, no downloads
    "YOLO_AUTOINSTALL": "false",  # no pip runs
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SAFE_LOAD": "true",  # checkpoints rebuild known classes only
}
_CONFIG, _THREADS = "YOLO_CONFIG_DIR", "OMP_NUM_THREADS"


@contextmanager
def quiet_import() -> Iterator[None]:
    """Around an import of ultralytics: offline, silent, its settings in a folder that goes with the process.

    Where torchvision is absent its version is answered for: ultralytics reads it and imports the package
    only for its own NMS, which nothing here uses. Its OMP_NUM_THREADS=1 does not outlive the import.
    """
    os.environ.update(_SETTINGS)
    threads = os.environ.get(_THREADS)
    if _CONFIG not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="detector-")
        atexit.register(folder.cleanup)
        os.environ[_CONFIG] = folder.name
    finder = _Absent()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if threads is None:
            os.environ.pop(_THREADS, None)


class _Absent(importlib.metadata.DistributionFinder):
    """Answers for torchvision where no such distribution is installed: later finders are asked last."""

    def find_spec(self, *_: Any) -> None:
        """No module comes from here."""

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context | None = None
    ) -> Iterable[importlib.metadata.Distribution]:
        return [_Torchvision()] if context is not None and context.name == "torchvision" else []


class _Torchvision(importlib.metadata.Distribution):
    """The version that the installed torch would pair with: 0.(minor + 15) beside torch 2.x."""

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        minor = int(importlib.metadata.version("torch").split(".")[1])
        told = Message()
        told["Metadata-Version"], told["Name"], told["Version"] = "2.1", "torchvision", f"0.{minor + 15}.0"
        return told.as_string()

    def locate_file(self, path: str | os.PathLike[str]) -> Path:
        return Path(path)
