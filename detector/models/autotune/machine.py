"""What a measurement holds for: this machine, these libraries."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib import metadata
from pathlib import Path

from detector import __version__

_TOLD = ("model name", "flags", "Features", "CPU implementer", "CPU part")
_LIBRARIES = ("onnxruntime", "openvino", "numpy")
CPUINFO = Path("/proc/cpuinfo")


def machine_key(cpuinfo: Path = CPUINFO) -> str:
    """16 hex digits of the CPU's model and flags, the usable cores, and the versions of what runs models."""
    parts = [f"detector {__version__}", platform.machine(), f"cores {len(os.sched_getaffinity(0))}"]
    parts += _cpu(cpuinfo)
    parts += [f"{name} {_version(name)}" for name in _LIBRARIES]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _cpu(cpuinfo: Path) -> list[str]:
    """The lines of the first processor that tell one model from another."""
    try:
        first = cpuinfo.read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    except OSError:
        return []
    lines = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return [f"{name.strip()}: {value.strip()}" for name, value in lines if name.strip() in _TOLD]


def _version(package: str) -> str | None:
    """Without importing it: that may take a second."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
