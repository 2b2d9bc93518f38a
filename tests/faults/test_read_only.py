"""The program on a read-only root file system, as in the containers: only its volumes, its configuration and /tmp can be written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support import standing
from support.program import COMMAND, Program

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

# In a mount namespace of its own: the folder as the volumes, a small /tmp as compose.yaml has it, all else read-only.
_ROOT = """
mount --make-rprivate / && mount --bind "$1" "$1" && mount -t tmpfs -o size=256m,noexec,nosuid,nodev tmpfs "$1/tmp" &&
mount -o remount,bind,ro / || exit 125
shift
if touch /usr/written 2>/dev/null; then exit 124; fi
exec "$@"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Skips where no mount namespace can be made."""
    (tmp_path / "tmp").mkdir()
    if shutil.which("unshare") is None or subprocess.run([*_command(tmp_path), "true"], check=False).returncode != 0:
        pytest.skip("needs root and mount namespaces")
    return tmp_path


def _command(folder: Path) -> list[str]:
    return ["unshare", "--mount", "sh", "-c", _ROOT, "sh", str(folder)]


def test_it_runs_and_keeps_what_it_must(folder: Path) -> None:
    config = {
        "model": standing.model(folder),
        "cameras": {"door": standing.camera(folder, fps=2)},
        "mqtt": {"broker": "embedded", "embedded": {"port": 0}},
    }
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "DETECTOR_CACHE": str(folder / "cache")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    program = Program(folder / "run", config, env=environment, command=[*_command(folder), *COMMAND])
    with program:
        program.wait_ready()
        program.wait_for(lambda: json.loads(program.get("/api/events")[1]), "a visit in the history")
        assert program.status()["problems"] == []
        document = json.loads(program.get("/api/config")[1])
        document["device"] = {"name": "Porch"}
        assert program.get("/api/config", method="PUT", body=document, headers={"If-Match": "*"})[0] == 200
        assert program.stop() == 0
    assert "Read-only" not in program.log()
    assert "Porch" in program.path.read_text(encoding="utf-8")
    assert (folder / "run" / "data" / "history.db").is_file()
