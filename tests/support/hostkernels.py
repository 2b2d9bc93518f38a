"""The CUDA kernels compiled as host C++ and launched on NumPy arrays: the same sources, the same launches."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detector.inference import kernels
from detector.inference.kernels.launch import Launch

SOURCES = Path(kernels.__file__).parent
SHIM = Path(__file__).parent / "kernels"
FLAGS = ("-x", "c++", "-std=c++17", "-ffp-contract=off", "-DHOST_SHIM", "-shared", "-fPIC")
_KERNEL = re.compile(r"__launch_bounds__\([\d, ]+\)\s+(\w+)\(")


class _Traffic(ctypes.Structure):
    _fields_ = [  # ctypes wants it so
        (name, ctypes.c_uint64)
        for name in ("sectors_by_block", "sectors", "loads", "loaded", "stores", "stored", "lowest", "highest")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a launch moved, in bytes.

    `loaded_by_block`: 32-byte sectors that each block's loads touch, once a block (its cache holds them);
    `needed`: the same, once a launch; `loaded`: the sum of all loads; `first`, `last`: the lowest and
    highest byte read.
    """

    loaded_by_block: int
    needed: int
    loaded: int
    stored: int
    first: int
    last: int


class HostKernels:
    """A library of one kernel source and any number of variants of it, by name; "base" is the source itself."""

    def __init__(
        self, source: str, folder: Path, variants: Mapping[str, str] | None = None, *, optimize: str = "-O2"
    ) -> None:
        compiler = shutil.which("g++")
        if compiler is None:
            pytest.skip("needs g++ to compile the kernels for the host")
        text = (SOURCES / source).read_text()
        library = folder / f"{source}.so"
        _build([compiler, *FLAGS, optimize], {"base": text, **(variants or {})}, library)
        self._library = ctypes.CDLL(str(library))

    def launch(self, launch: Launch, *, variant: str = "base", order: int = 0) -> None:
        """Runs `launch`, whose pointers are host addresses; threads in `order` (see host_shim.h)."""
        self._call(launch, variant, order, None)

    def count(self, launch: Launch, *, variant: str = "base") -> Traffic:
        """Runs `launch` and says what it moved."""
        found = _Traffic()
        self._call(launch, variant, 0, found)
        return Traffic(
            loaded_by_block=32 * found.sectors_by_block,
            needed=32 * found.sectors,
            loaded=found.loaded,
            stored=found.stored,
            first=found.lowest,
            last=found.highest,
        )

    def _call(self, launch: Launch, variant: str, order: int, traffic: _Traffic | None) -> None:
        values = [np.array(arg) for arg in launch.args]
        pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        sizes = [(ctypes.c_uint32 * 3)(*size) for size in (launch.grid, launch.block)]
        cooperative = launch.kernel.startswith("suppress")
        run = self._library[f"launch_{variant}_{launch.kernel}"]
        counted = None if traffic is None else ctypes.byref(traffic)
        failed = run(*sizes, pointers, order, int(cooperative), int(traffic is not None), counted)
        if failed:
            raise AssertionError(f"{launch.kernel}: some threads wait at a barrier that others never reach")


def address(array: NDArray[np.generic]) -> int:
    """Where the array's first element lies."""
    return int(array.ctypes.data)


def _build(command: Sequence[str], variants: Mapping[str, str], library: Path) -> None:
    parts = ['#include "device.cuh"']
    for name, text in variants.items():
        # Names are told apart by namespaces, which extern "C" would defeat.
        parts += [f"namespace {name} {{", text.replace('extern "C" ', ""), "}"]
        parts += [f"HOST_KERNEL({name}, {kernel})" for kernel in _KERNEL.findall(text)]
    source = library.with_suffix(".cpp")
    source.write_text("\n".join(parts))
    whole = [*command, f"-I{SOURCES}", f"-I{SHIM}", "-o", str(library), str(source)]
    done = subprocess.run(whole, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr)
