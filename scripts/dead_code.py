"""Code that nothing in the package calls: vulture's finds but for what is called by name from outside it.

    python scripts/dead_code.py [FOLDER...]

Judged are functions, classes, methods, properties, imports, unreachable code and constants. Fields of dataclasses and
attributes set on other libraries' objects are not: they go out as JSON, or are read by the library. Exit 1 with a
line each where there is any.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from vulture import Vulture

ROOT = Path(__file__).resolve().parents[1]
DECORATORS = ["@app.*", "@routes.*", "@model_validator", "@field_validator", "@abstractmethod"]
"""Registered where they stand, and called by Typer, FastAPI and pydantic."""

ALLOWED = {
    "__getattr__": "Python's own, of modules",
    "main_loop": "uvicorn's, taken over",
    "http_open": "urllib's handlers",
    "https_open": "urllib's handlers",
    "redirect_request": "urllib's handlers",
    "phase_start": "TensorRT's IProgressMonitor",
    "step_complete": "TensorRT's IProgressMonitor",
    "phase_finish": "TensorRT's IProgressMonitor",
    "find_distributions": "importlib.metadata's",
    "locate_file": "importlib.metadata's",
    "forward": "torch.nn.Module's",
    "BUSY": "one of MQTT 3.1.1's return codes, which are listed whole",
    "readinto": "io.RawIOBase's",
    "makefile": "a socket's, which http.client calls",
}
"""Names that other libraries call, with whose they are."""


def found(folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """The name of each piece that nothing calls, and a line that says where it is."""
    judge = Vulture(ignore_decorators=DECORATORS)
    judge.scavenge([str(folder) for folder in folders])
    for item in judge.get_unused_code():
        field = item.typ == "attribute" or (item.typ == "variable" and not str(item.name).isupper())
        if not field:
            yield str(item.name), f"{item.filename}:{item.first_lineno}: nothing uses the {item.typ} {item.name}"


def main(arguments: Sequence[str]) -> int:
    folders = [Path(each) for each in arguments] or [ROOT / "detector"]
    lines = [line for name, line in found(folders) if name not in ALLOWED]
    sys.stdout.write("\n".join(lines or ["no dead code"]) + "\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
