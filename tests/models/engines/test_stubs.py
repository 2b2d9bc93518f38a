"""mypy checks the code against the types of TensorRT's own bindings, 10.3, 10.16 and 11.4.

The bindings load without TensorRT when every symbol that they import is there: a library of empty functions
is enough to list what they offer, and stubgen writes it down.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.optimize

ROOT = Path(__file__).resolve().parents[3]
CHECKED = ["detector/engines", "detector/inference/backends/tensorrt.py"]
BINDINGS = {
    "10.3": "tensorrt-cu12-bindings==10.3.0",
    "10.16": "tensorrt-cu13-bindings==10.16.1.11",
    "11.4": "tensorrt-cu13-bindings==11.4.0.106",
}
BESIDE = ["__version__: str", "def nptype(trt_type: DataType) -> type: ..."]
"""What the package adds in Python beside the binding."""


@pytest.fixture(scope="module", params=BINDINGS)
def stubs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the `tensorrt.pyi` of one version, and a `tensorrt.nptype` as all versions have."""
    for tool in ("g++", "nm"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    folder = tmp_path_factory.mktemp("stubs")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    got = subprocess.run([*pip, "--dest", str(folder), BINDINGS[request.param]], capture_output=True, check=False)
    if got.returncode != 0:
        pytest.skip(f"cannot get {BINDINGS[request.param]}")
    (wheel,) = folder.glob("*.whl")
    shutil.unpack_archive(wheel, folder / "wheel", "zip")
    binding = folder / "wheel/tensorrt_bindings/tensorrt.so"
    _write_libraries(binding, folder)
    # mypy is compiled: its parts cannot be run with -m.
    start = "import sys; from mypy.stubgen import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", start, "--inspect-mode", "-m", "tensorrt", "-o", str(folder / "stubs")]
    paths = {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(binding.parent)}
    run = subprocess.run(command, env={**os.environ, **paths}, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    stub = folder / "stubs/tensorrt.pyi"
    lines = ["# mypy: ignore-errors", "from typing import Any", *map(_parsable, stub.read_text().splitlines()), *BESIDE]
    stub.write_text("\n".join(lines))
    return folder / "stubs"


def _parsable(line: str) -> str:
    """`line`, or the loosest signature for one that stubgen made from a doc string that is no Python."""
    found = re.match(r"( *def \w+)\(.*\.\.\.", line)
    try:
        ast.parse(line.strip() if found else "")
    except SyntaxError:
        assert found is not None
        return f"{found[1]}(self, *args: Any, **kwargs: Any) -> Any: ..."
    return line


def _write_libraries(binding: Path, folder: Path) -> None:
    """The libraries that the binding names, with an empty function for each symbol that is in no other."""
    symbols = subprocess.check_output(["nm", "-D", "--undefined-only", str(binding)], text=True).split()
    names = {name for name in symbols if re.fullmatch(r"[A-Za-z]\w+", name) and not re.match(r"w$|U$|Py|_", name)}
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in sorted(names)))
    needed = subprocess.run(["ldd", str(binding)], capture_output=True, text=True, check=False).stdout
    for library in re.findall(r"(libnv\S+) => not found", needed):
        subprocess.check_call(["g++", "-x", "c", "-w", "-shared", "-fPIC", "-o", str(folder / library), str(source)])


def _mypy(*stubs: Path) -> str:
    environment = {**os.environ, "MYPYPATH": os.pathsep.join(map(str, stubs))}
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--cache-dir",
            os.devnull,
            "--follow-imports",
            "silent",
            "--no-warn-unreachable",
            *CHECKED,
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout + run.stderr


def test_every_name_that_is_used_is_there(stubs: Path) -> None:
    assert "Success" in _mypy(stubs)


def test_a_name_that_is_not_there_would_be_found(stubs: Path) -> None:
    stub = stubs / "tensorrt.pyi"
    whole = stub.read_text()
    assert "execute_async_v3" in whole
    try:
        stub.write_text(whole.replace("def execute_async_v3", "def execute_async_v9"))
        assert 'has no attribute "execute_async_v3"' in _mypy(stubs)
    finally:
        stub.write_text(whole)
