"""Real commands: what they are given, what they say, how they fail, how they are ended."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from detector.core import processes
from detector.core.errors import DetectorError
from support.mosquitto import wait_until


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_is_given_comes_back() -> None:
    given = bytes(range(256)) * 4096
    command = python("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])")
    assert processes.run(command, threading.Event(), given=given) == given[::-1]


def test_it_runs_at_low_priority() -> None:
    assert processes.run(python("import os; print(os.nice(0))"), threading.Event(), nice=19) == b"19\n"


def test_a_failure_says_its_last_line() -> None:
    with pytest.raises(DetectorError, match=r"^no memory$"):
        processes.run(python("import sys; sys.exit('words\\ndetector: no memory')"), threading.Event())
    with pytest.raises(DetectorError, match="ended with 3"):
        processes.run(python("raise SystemExit(3)"), threading.Event())


def test_a_stop_ends_it() -> None:
    stop = threading.Event()
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    assert processes.run(python("import time; time.sleep(600)"), stop) is None
    timer.join()


def is_gone(pid: int) -> bool:
    """Ended, be it that nobody waited for it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    child = (
        "import os, pathlib, time; from detector.core.processes import end_with_parent; end_with_parent();"
        f"pathlib.Path({str(told)!r}).write_text(str(os.getpid())); time.sleep(600)"
    )
    parent = f"import sys, threading; from detector.core import processes; processes.run([sys.executable, '-c', {child!r}], threading.Event())"
    with subprocess.Popen([sys.executable, "-c", parent]) as running:
        wait_until(lambda: told.exists() and told.read_text())
        pid = int(told.read_text())
        assert not is_gone(pid)
        running.kill()
        wait_until(lambda: is_gone(pid), "it goes on")


def test_outside_of_run_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(processes.PARENT, raising=False)
    processes.end_with_parent()
