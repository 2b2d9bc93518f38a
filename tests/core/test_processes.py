"""Real commands: what they are given, what they say, how they fail, how they are ended."""

from __future__ import annotations

import sys
import threading

import pytest

from detector.core import processes
from detector.core.errors import DetectorError


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
