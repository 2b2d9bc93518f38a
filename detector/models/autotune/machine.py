"""Identifies the machine and the libraries that a measurement is valid for."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib import metadata
from pathlib import Path

from detector import __version__
from detector.core.system_info import cpu_info

_TOLD = ("model name", "flags", "Features", "CPU implementer", "CPU part")
_LIBRARIES = ("onnxruntime", "openvino", "numpy")
CPUINFO = Path("/proc/cpuinfo")


def machine_key(cpuinfo: Path = CPUINFO) -> str:
    """16 hex digits over the CPU's model and flags, the usable cores, and the versions of the runtimes."""
    parts = [f"detector {__version__}", platform.machine(), f"cores {len(os.sched_getaffinity(0))}"]
    parts += [f"{name}: {value}" for name, value in cpu_info(cpuinfo).items() if name in _TOLD]
    parts += [f"{name} {_version(name)}" for name in _LIBRARIES]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _version(package: str) -> str | None:
    """A package's version, without importing it, which may take a second."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
