"""A command in a process of its own, at low priority, that ends when the stage does."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence

from .errors import DetectorError

LOOK_S = 0.25
KILL_S = 10.0  # a build looks at its signals several times a second


def run(command: Sequence[str], stop: threading.Event, *, nice: int = 10, given: bytes = b"") -> bytes | None:
    """What `command` wrote to stdout, `given` on its stdin; None when `stop` ended it.

    Raises DetectorError with what it said last on stderr when it fails.
    """
    # Files rather than pipes: nobody need read them while it runs. What is given stays in memory.
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        os.fdopen(os.memfd_create("given"), "r+b") as put,
    ):
        put.write(given)
        put.seek(0)
        arguments = ["nice", "-n", str(nice), *command]
        with subprocess.Popen(arguments, stdin=put, stdout=out, stderr=err) as child:  # noqa: S603 - our own
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
