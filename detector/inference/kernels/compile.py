"""Kernels for one GPU: compiled once and cached beside the engine, so that later no compiler is needed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from detector.core.errors import ModelError, StorageError
from detector.core.files import PUBLIC, write_atomically

from .compilers import Compiler, available

KernelSource = Literal["letterbox", "post"]

_FOLDER = Path(__file__).parent
_SHARED = "device.cuh"
_ARCH = re.compile(r"sm_\d{2,3}[af]?")
_ENTRY = re.compile(r"Compiling entry function '(\w+)'")
_FIGURES = {
    "spilled": re.compile(r"(\d+) bytes spill (?:stores|loads)"),
    "registers": re.compile(r"Used (\d+) registers"),
    "shared": re.compile(r"(\d+) bytes smem"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A kernel's resources: registers per thread, bytes spilled per thread, bytes of static shared memory per block."""

    registers: int
    spilled: int = 0
    shared: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledKernels:
    """A source's kernels for `arch`; `usage` by kernel name; `compiler` says what made them."""

    source: KernelSource
    arch: str
    compiler: str
    cubin: bytes
    usage: Mapping[str, Usage]


def compiled(
    source: KernelSource,
    *,
    arch: str,
    cache: Path,
    rebuild: bool = False,
    compilers: Iterable[Compiler] | None = None,
) -> CompiledKernels:
    """The kernels of `source` for `arch` (sm_NN), from `cache` or compiled into it.

    Files are keyed by the sources' sha256, arch and compiler. A cached file for these sources and arch is used
    whichever compiler made it, newest first, so that a service starts without a compiler; `rebuild` compiles again.
    `compilers` None: those of this machine, searched only when needed. Raises ModelError if nothing can compile,
    StorageError if the cache cannot be written.
    """
    if not _ARCH.fullmatch(arch):
        raise ModelError(f"{arch!r} names no GPU architecture: it must look like sm_87")
    stem = f"{source}-{arch}-{source_digest(source)[:16]}"
    if not rebuild:
        found = _cached(source, arch, cache, stem)
        if found is not None:
            return found
    made = _compile(source, arch, available() if compilers is None else compilers)
    _keep(made, cache, f"{stem}-{hashlib.sha256(made.compiler.encode()).hexdigest()[:8]}")
    return made


def source_digest(source: KernelSource) -> str:
    """sha256 over the source, its header and the compiler flags, hex."""
    digest = hashlib.sha256()
    for path in (_FOLDER / f"{source}.cu", _FOLDER / _SHARED, _FOLDER / "compilers.py"):  # that one holds the flags
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def resource_usage(log: str) -> dict[str, Usage]:
    """Each kernel's resources from the output of ptxas -v; raises ModelError if there are none."""
    # Split at a pattern with one group: text before, then name and text in turn.
    parts = _ENTRY.split(log)[1:]
    usage = {}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        figures = {figure: sum(map(int, pattern.findall(text))) for figure, pattern in _FIGURES.items()}
        if not figures["registers"]:
            raise ModelError(f"the compiler told no resource usage of {name}")
        usage[name] = Usage(**figures)
    if not usage:
        raise ModelError("the compiler told no resource usage")
    return usage


def _compile(source: KernelSource, arch: str, compilers: Iterable[Compiler]) -> CompiledKernels:
    failures = []
    for compiler in compilers:
        try:
            version = compiler.version()
            cubin, log = compiler.compile(_FOLDER / f"{source}.cu", arch)
            usage = resource_usage(log)
            return CompiledKernels(source=source, arch=arch, compiler=version, cubin=cubin, usage=usage)
        except ModelError as error:
            failures.append(str(error))
    if failures:
        raise ModelError(f"the {source} kernels cannot be compiled for {arch}: {'; '.join(failures)}")
    raise ModelError("no CUDA compiler: install the CUDA toolkit (nvcc) or the package nvidia-cuda-nvrtc")


def _cached(source: KernelSource, arch: str, cache: Path, stem: str) -> CompiledKernels | None:
    """The newest intact entry; truncated or changed files are ignored."""
    try:
        notes = sorted(cache.glob(f"{stem}-*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return None
    for note in notes:
        try:
            told = json.loads(note.read_text())
            cubin = note.with_suffix(".cubin").read_bytes()
            if hashlib.sha256(cubin).hexdigest() == told["sha256"]:
                usage = {name: Usage(**figures) for name, figures in told["usage"].items()}
                return CompiledKernels(source=source, arch=arch, compiler=told["compiler"], cubin=cubin, usage=usage)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return None


def _keep(made: CompiledKernels, cache: Path, stem: str) -> None:
    usage = {name: asdict(figures) for name, figures in made.usage.items()}
    told = {"compiler": made.compiler, "sha256": hashlib.sha256(made.cubin).hexdigest(), "usage": usage}
    try:
        # The JSON last: its sha256 shows that the cubin is complete.
        write_atomically(cache / f"{stem}.cubin", made.cubin, mode=PUBLIC)
        write_atomically(cache / f"{stem}.json", json.dumps(told, indent=1), mode=PUBLIC)
    except OSError as error:
        raise StorageError(f"the compiled kernels cannot be kept in {cache}: {error.strerror}") from error
