"""The Pythons of this machine that the project runs on."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = 10  # requires-python, in 3.X
_PROBE = (
    "import sys, venv, ensurepip; print(sys.version_info.major, sys.version_info.minor, sys.version_info.releaselevel)"
)


def _minor(program: Path) -> int | None:
    """X of a released Python 3.X that can make virtual environments; None for anything else."""
    try:
        done = subprocess.run([program, "-c", _PROBE], capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return None
    words = done.stdout.split()
    return int(words[1]) if done.returncode == 0 and words[0] == "3" and words[2] == "final" else None


@functools.cache
def installed() -> dict[int, Path]:
    """Each 3.X from 3.10 on with a program that runs it: pyenv's versions, then the names on PATH, then this one."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = sorted(pyenv.glob("3.*/bin/python3"), reverse=True)
    candidates += [Path(found) for minor in range(OLDEST, 20) if (found := shutil.which(f"python3.{minor}"))]
    candidates.append(Path(getattr(sys, "_base_executable", sys.executable)))
    programs: dict[int, Path] = {}
    for program in candidates:
        minor = _minor(program)
        if minor is not None and minor >= OLDEST:
            programs.setdefault(minor, program)
    return programs
