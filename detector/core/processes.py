"""Runs a command in a child process at low priority, which ends with the thread that waits for it, killed or not."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence

from .errors import DetectorError

LOOK_S = 0.25
PARENT = "DETECTOR_PARENT"
"""The environment variable that tells a child its parent's process id."""
_PR_SET_PDEATHSIG = 1  # prctl(2)
KILL_S = 10.0  # between SIGTERM and SIGKILL; a build checks for signals several times a second


def run(command: Sequence[str], stop: threading.Event, *, nice: int = 10, given: bytes = b"") -> bytes | None:
    """The stdout of `command`, which gets `given` on stdin; None if `stop` ended it.

    Raises DetectorError with its last line on stderr if it fails.
    """
    # Files instead of pipes: they need not be read while it runs. The input stays in memory.
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        os.fdopen(os.memfd_create("given"), "r+b") as put,
    ):
        put.write(given)
        put.seek(0)
        arguments = ["nice", "-n", str(nice), *command]
        environment = {**os.environ, PARENT: str(os.getpid())}
        with subprocess.Popen(arguments, stdin=put, stdout=out, stderr=err, env=environment) as child:  # noqa: S603 - our own
            while child.poll() is None and not stop.wait(LOOK_S):
                pass
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(KILL_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                return None
        for file in (out, err):
            file.seek(0)
        if child.returncode != 0:
            lines = err.read().decode(errors="replace").strip().splitlines() or [
                f"{command[0]} ended with {child.returncode}"
            ]
            raise DetectorError(lines[-1].removeprefix("detector: "))
        return out.read()


def end_with_parent() -> None:
    """In a child of `run`: end when the thread that waits ends, also by SIGKILL; elsewhere nothing.

    What still measured for a killed service would take the processor from the one that is started after it.
    """
    parent = os.environ.pop(PARENT, None)  # not for the child's own children
    if parent is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if str(os.getppid()) != parent:  # it ended before
        os.kill(os.getpid(), signal.SIGTERM)
