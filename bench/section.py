"""What engines/README.md is made of: a section is a measurement, and the lines that tell of it.

To add one, put a module into bench/sections/ that ends in

    SECTION = Section(name="small", order=60, title="Small people", measure=measure, render=render)

Nothing else is to be registered. `measure(shared)` returns a dict that JSON can hold, `render(figures)` Markdown lines;
`command("small", "--shared", shared)` measures by `python -m bench.small --shared DIR --json FILE`.
`python -m bench.results --only small` then measures it and renders the page anew from all that is stored.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from detector import __version__
from detector.core.system_info import machine

ROOT = Path(__file__).resolve().parents[1]
Figures = dict[str, Any]
_PACKAGES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "numpy": "NumPy"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultSection:
    """`order` is its place on the page; `packages` are named with their versions beside the usual ones.

    `pictures` makes files beside the page, by name, from the figures.
    """

    name: str
    order: int
    title: str
    measure: Callable[[Path], Figures]
    render: Callable[[Figures], Sequence[str]]
    packages: tuple[str, ...] = ()
    pictures: Callable[[Figures], Mapping[str, str]] | None = None


def environment(packages: Sequence[str] = ()) -> Figures:
    """Date, processor, load and versions: what figures are worth nothing without."""
    import cv2  # its package goes by several names

    versions = {"detector": __version__, "Python": platform.python_version(), "OpenCV": cv2.__version__}
    for package in (*_PACKAGES, *packages):
        try:
            versions[_PACKAGES.get(package, package)] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": machine(),
        "load_average": round(os.getloadavg()[0], 1),
        "versions": versions,
    }


def command(name: str, *arguments: str | Path) -> Figures:
    """What `python -m bench.NAME` writes as JSON; its exit code is not asked: a missed target is a finding, too."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        line = [sys.executable, "-m", f"bench.{name}", "--json", str(out), *map(str, arguments)]
        print("$ python -m", f"bench.{name}", *arguments, file=sys.stderr)
        subprocess.run(line, cwd=ROOT, check=False, stdout=sys.stderr)
        if not out.is_file():
            raise RuntimeError(f"python -m bench.{name} wrote no figures")
        figures: Figures = json.loads(out.read_text(encoding="utf-8"))
        return figures


def detector(*arguments: str | Path) -> Figures:
    """What a command of the detector prints as JSON."""
    line = [sys.executable, "-m", "detector", *map(str, arguments), "--json"]
    print("$ detector", *arguments[:3], file=sys.stderr)
    figures: Figures = json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE).stdout)
    return figures
