"""A release's notes are its section of the change log, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "release_notes.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_without_a_version_what_is_unreleased() -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "# Unreleased"
    assert "## Added" in lines
    text = (SCRIPT.parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
    section = text.split("## [Unreleased]")[1].split("\n## ")[0]
    wanted = [line for line in section.splitlines() if line.startswith("- ")]
    assert [line for line in lines if line.startswith("- ")] == wanted


def test_a_version_and_what_is_none(tmp_path: Path) -> None:
    script = tmp_path / "scripts" / SCRIPT.name
    script.parent.mkdir()
    script.write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
    log = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-11-30\n\n### Fixed\n\n- One.\n\n## [1.1.0] - 2026-10-01\n\n- Two.\n"
    (tmp_path / "CHANGELOG.md").write_text(log, encoding="utf-8")
    command = [sys.executable, str(script), "v1.2.0"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "# 1.2.0 - 2026-11-30\n\n## Fixed\n\n- One.\n"
    refused = run("0.0.0")
    assert refused.returncode == 2
    assert "has no section 0.0.0" in refused.stderr
