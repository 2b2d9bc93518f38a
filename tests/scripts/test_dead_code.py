"""What `make check` says of code that nothing calls."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/dead_code.py"
pytestmark = pytest.mark.skipif(importlib.util.find_spec("vulture") is None, reason="needs vulture")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_what_nothing_calls_is_named_and_fields_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "from dataclasses import dataclass\n\nLIMIT = 3\n\n\n"
        "@dataclass\nclass Row:\n    width: int\n\n    @property\n    def area(self) -> int:\n        return 0\n\n\n"
        "def called() -> Row:\n    return Row(1)\n\n\ndef forgotten() -> None:\n    called()\n\n\n"
        "def forward() -> None:\n    called()\n"
    )
    done = run(str(tmp_path))
    assert done.returncode == 1
    assert {line.split("nothing uses the ")[1] for line in done.stdout.splitlines()} == {
        "variable LIMIT",
        "property area",
        "function forgotten",
    }


def test_the_package_has_none() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (0, "no dead code\n"), done.stdout + done.stderr
