"""Compilers of a kernel's source to a cubin: nvcc of the toolkit, else the NVRTC library. No GPU is needed."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from detector.core.errors import ModelError, one_line

# Fused multiply-adds are explicit fmaf in the sources: everything else must round as on the host.
_SHARED_FLAGS = ("-std=c++17", "--fmad=false")
_TOOLKIT = Path("/usr/local/cuda")  # where JetPack and NVIDIA's packages put it, outside the PATH
_DEADLINE_S = 120.0
_NVRTC_MAJORS = (13, 12)


class Compiler(Protocol):
    """An installed compiler."""

    def version(self) -> str:
        """Name and release."""
        ...

    def compile(self, source: Path, arch: str) -> tuple[bytes, str]:
        """The cubin for `arch` (sm_NN), and the output of ptxas about resources; raises ModelError."""
        ...


def available() -> Iterator[Compiler]:
    """The compilers of this machine, the preferred one first."""
    nvcc = _find_nvcc()
    if nvcc is not None:
        yield Nvcc(nvcc)
    library = _load_nvrtc()
    if library is not None:
        yield Nvrtc(library)


class Nvcc:
    """The CUDA toolkit's compiler driver."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def version(self) -> str:
        found = re.search(r"\bV(\d[\d.]*)", self._run("--version")[0])
        return f"nvcc {found[1] if found else 'unknown'}"

    def compile(self, source: Path, arch: str) -> tuple[bytes, str]:
        with tempfile.TemporaryDirectory(prefix="detector-nvcc-") as folder:
            cubin = Path(folder, "kernel.cubin")
            flags = ("-cubin", f"-arch={arch}", "-O3", "--resource-usage", *_SHARED_FLAGS)
            log = "\n".join(self._run(*flags, "-o", str(cubin), str(source)))
            return cubin.read_bytes(), log

    def _run(self, *arguments: str) -> tuple[str, str]:
        command = [str(self._path), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_DEADLINE_S)  # noqa: S603 # the toolkit's own, no shell
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ModelError(f"nvcc cannot be run: {one_line(error)}") from error
        if done.returncode:
            raise ModelError(f"nvcc failed: {one_line(done.stderr or done.stdout)}")
        return done.stdout, done.stderr


class Nvrtc:
    """The run-time compilation library, through ctypes; the sources need no headers of the toolkit."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def version(self) -> str:
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        return f"nvrtc {major.value}.{minor.value}"

    def compile(self, source: Path, arch: str) -> tuple[bytes, str]:
        program = ctypes.c_void_p()
        text, name = source.read_bytes(), source.name.encode()
        self._check(self._library.nvrtcCreateProgram(ctypes.byref(program), text, name, 0, None, None))
        try:
            flags = (f"--gpu-architecture={arch}", "--ptxas-options=-v", f"-I{source.parent}", *_SHARED_FLAGS)
            options = (ctypes.c_char_p * len(flags))(*(flag.encode() for flag in flags))
            failed = self._library.nvrtcCompileProgram(program, len(flags), options)
            log = self._text(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
            if failed:
                raise ModelError(f"NVRTC failed: {one_line(log)}")
            return self._text(program, "CUBIN"), log
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _text(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(self._library[f"nvrtcGet{what}Size"](program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self._check(self._library[f"nvrtcGet{what}"](program, buffer))
        return buffer.raw

    def _check(self, result: int) -> None:
        if result:
            self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
            raise ModelError(f"NVRTC failed: {self._library.nvrtcGetErrorString(result).decode()}")


def _find_nvcc() -> Path | None:
    homes = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    places = [home / "bin" / "nvcc" for home in (*homes, _TOOLKIT)]
    found = shutil.which("nvcc")
    for place in ([Path(found)] if found else []) + places:
        if os.access(place, os.X_OK):
            return place
    return None


def _load_nvrtc() -> ctypes.CDLL | None:
    """From NVIDIA's wheels, the toolkit's folder or the system's libraries."""
    spec = importlib.util.find_spec("nvidia")
    roots = [Path(root) for root in (spec.submodule_search_locations or [])] if spec else []
    for major in _NVRTC_MAJORS:
        name = f"libnvrtc.so.{major}"
        wheels = [path for root in roots for path in (root / f"cu{major}/lib" / name, root / "cuda_nvrtc/lib" / name)]
        for candidate in (*wheels, _TOOLKIT / "lib64" / name, name):
            try:
                return ctypes.CDLL(str(candidate))
            except OSError:
                continue
    return None
