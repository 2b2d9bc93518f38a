"""`make run` as a newcomer types it: a bare clone, no virtual environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # What this test run's own environment leaks must not help the newcomer.
    env = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL")}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=400, check=False
    )


@pytest.mark.fresh
@pytest.mark.timeout(500)
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a git checkout")
@pytest.mark.usefixtures("clip")
def test_make_run_works_from_a_bare_clone_and_at_once_the_second_time(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True, timeout=60)
    first = _make(clone, "run", "ARGS=--duration 14")
    if "Could not find a version" in first.stderr or "No matching distribution" in first.stderr:
        pytest.skip("the package index cannot be reached")
    assert first.returncode == 0, first.stderr
    assert re.search(r"^ALERT 1 .* score .* latency", first.stdout, re.MULTILINE), first.stdout
    assert "setting up" in first.stdout
    second = _make(clone, "run", "ARGS=--duration 2")
    assert second.returncode == 0, second.stderr
    assert "setting up" not in second.stdout
    installed = {path.name.split("-")[0].lower() for path in clone.glob(".venv/lib/*/site-packages/*.dist-info")}
    assert not installed & {"torch", "ultralytics", "tensorrt", "opencv_python", "pytest"}, (
        "nothing heavy, no test tools"
    )
