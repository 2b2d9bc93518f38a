from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from detector.core.errors import ModelError, StorageError
from detector.inference.kernels.compile import (
    CompiledKernels,
    KernelSource,
    Usage,
    compiled,
    resource_usage,
    source_digest,
)
from detector.inference.kernels.compilers import Compiler, Nvcc, Nvrtc, available

KERNELS: dict[KernelSource, set[str]] = {
    "letterbox": {"letterbox_f32", "letterbox_f16"},
    "post": {"gather_f32", "gather_f16", "suppress_f32", "suppress_f16"},
}
MAX_REGISTERS = 64
LOG = """
ptxas info    : Compiling entry function 'one' for 'sm_87'
    0 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 26212 bytes smem, 376 bytes cmem[0]
ptxas info    : Compiling entry function 'two' for 'sm_87'
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 7 registers, used 0 barriers
"""


class Canned:
    """A compiler of known words."""

    def __init__(self, version: str = "canned 1", log: str = LOG, cubin: bytes = b"cubin") -> None:
        self._version, self._log, self._cubin = version, log, cubin
        self.asked = 0

    def version(self) -> str:
        return self._version

    def compile(self, source: Path, arch: str) -> tuple[bytes, str]:
        assert source.is_file()
        self.asked += 1
        return self._cubin, self._log


class Broken(Canned):
    def compile(self, source: Path, arch: str) -> tuple[bytes, str]:
        raise ModelError("it broke")


@pytest.fixture(params=[Nvcc, pytest.param(Nvrtc, marks=pytest.mark.optimize)], ids=["nvcc", "nvrtc"])
def compiler(request: pytest.FixtureRequest) -> Compiler:
    wanted: type[Nvcc | Nvrtc] = request.param
    for found in available():
        if isinstance(found, wanted):
            return found
    pytest.skip(
        {Nvcc: "needs nvcc, of NVIDIA's CUDA toolkit", Nvrtc: "needs the extra nvrtc (make test-optimize)"}[wanted]
    )


@pytest.mark.parametrize("arch", ["sm_87", "sm_90"])
@pytest.mark.parametrize("source", KERNELS)
def test_compiles_without_spills(compiler: Compiler, source: KernelSource, arch: str, tmp_path: Path) -> None:
    made = compiled(source, arch=arch, cache=tmp_path, compilers=[compiler])
    assert made.cubin.startswith(b"\x7fELF")
    assert set(made.usage) == KERNELS[source]
    for kernel, usage in made.usage.items():
        print(f"{kernel} {arch} {made.compiler}: {usage}")
        assert usage.spilled == 0
        assert 0 < usage.registers <= MAX_REGISTERS
        assert usage.shared <= 48 * 1024
    assert made.usage.get("suppress_f32", Usage(registers=1, shared=1)).shared > 0


def test_wrong_source_is_an_error(compiler: Compiler, tmp_path: Path) -> None:
    source = tmp_path / "wrong.cu"
    source.write_text("this is no kernel")
    with pytest.raises(ModelError, match="failed"):
        compiler.compile(source, "sm_87")


def test_unknown_gpu_is_an_error(compiler: Compiler, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be compiled for sm_11"):
        compiled("post", arch="sm_11", cache=tmp_path, compilers=[compiler])


def test_what_is_kept_needs_no_compiler(tmp_path: Path) -> None:
    made = compiled("post", arch="sm_87", cache=tmp_path, compilers=[Canned()])
    assert made.usage == {"one": Usage(registers=40, spilled=12, shared=26212), "two": Usage(registers=7)}

    asked = Canned("canned 2")
    assert compiled("post", arch="sm_87", cache=tmp_path, compilers=[asked]) == made
    assert asked.asked == 0


def test_keys_tell_source_arch_and_compiler_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Canned(), Canned("canned 2", cubin=b"other")
    compiled("post", arch="sm_87", cache=tmp_path, compilers=[first])
    compiled("post", arch="sm_90", cache=tmp_path, compilers=[first])
    compiled("letterbox", arch="sm_87", cache=tmp_path, compilers=[first])
    assert first.asked == 3
    compiled("post", arch="sm_87", cache=tmp_path, compilers=[second], rebuild=True)
    assert len(list(tmp_path.glob("post-sm_87-*.cubin"))) == 2
    monkeypatch.setattr("detector.inference.kernels.compile.source_digest", lambda _: "0" * 64)
    compiled("post", arch="sm_87", cache=tmp_path, compilers=[first])
    assert first.asked == 4


def test_newest_is_taken(tmp_path: Path) -> None:
    for number, age in ((1, 100), (2, 200)):
        compiled("post", arch="sm_87", cache=tmp_path, compilers=[Canned(f"canned {number}")], rebuild=True)
        for note in tmp_path.glob("*.json"):
            if json.loads(note.read_text())["compiler"] == f"canned {number}":
                os.utime(note, (1e9 - age, 1e9 - age))
    assert compiled("post", arch="sm_87", cache=tmp_path, compilers=[]).compiler == "canned 1"


@pytest.mark.parametrize("harm", ["cut", "changed", "note cut", "note of another kind", "no cubin"])
def test_harmed_entries_are_made_anew(tmp_path: Path, harm: str) -> None:
    compiled("post", arch="sm_87", cache=tmp_path, compilers=[Canned()])
    (cubin,), (note,) = tmp_path.glob("*.cubin"), tmp_path.glob("*.json")
    if harm == "cut":
        cubin.write_bytes(b"cub")
    elif harm == "changed":
        cubin.write_bytes(b"cubiN")
    elif harm == "no cubin":
        cubin.unlink()
    else:
        note.write_text('{"compiler": ' if harm == "note cut" else "[]")
    again = Canned()
    made = compiled("post", arch="sm_87", cache=tmp_path, compilers=[again])
    assert again.asked == 1
    assert made.cubin == b"cubin"
    assert compiled("post", arch="sm_87", cache=tmp_path, compilers=[]) == made


def test_next_compiler_is_tried(tmp_path: Path) -> None:
    made = compiled(
        "post", arch="sm_87", cache=tmp_path, compilers=[Broken("broken"), Canned(log="no figures"), Canned()]
    )
    assert isinstance(made, CompiledKernels)
    assert made.compiler == "canned 1"


def test_without_any_compiler_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="install the CUDA toolkit"):
        compiled("post", arch="sm_87", cache=tmp_path, compilers=[])
    with pytest.raises(ModelError, match="sm_87: it broke"):
        compiled("post", arch="sm_87", cache=tmp_path, compilers=[Broken()])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arch", ["87", "sm_", "sm_87 -o /etc/passwd", "compute_87", ""])
def test_arch_must_be_one(tmp_path: Path, arch: str) -> None:
    with pytest.raises(ModelError, match="GPU architecture"):
        compiled("post", arch=arch, cache=tmp_path, compilers=[Canned()])


def test_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be kept"):
        compiled("post", arch="sm_87", cache=tmp_path / "file" / "cache", compilers=[Canned()])


def test_digest_is_of_the_source() -> None:
    assert source_digest("post") == source_digest("post") != source_digest("letterbox")


def test_log_without_figures_is_an_error() -> None:
    for log in ("", "Compiling entry function 'one' for 'sm_87'\nnothing more"):
        with pytest.raises(ModelError, match="no resource usage"):
            resource_usage(log)


def test_nvcc_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be run"):
        Nvcc(tmp_path / "nvcc").version()
