"""The log as a process writes it: lines for people, or one JSON object a line."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from typing import Any

PROGRAM = """
import logging, threading
from detector.core import logs
from detector.core.redact import redact

redact.learn("hunter2-and-more")
logs.setup(as_json={as_json})
log = logging.getLogger("detector.test")
log.info("camera %s: %s", "porch", 'says "yes"\\nand é hunter2-and-more')
try:
    raise ValueError("hunter2-and-more is wrong")
except ValueError:
    log.exception("stumbled")
thread = threading.Thread(target=lambda: 1 / 0, name="worker")
thread.start()
thread.join()
raise RuntimeError("hunter2-and-more")
"""


def written(*, as_json: bool) -> str:
    command = [sys.executable, "-c", PROGRAM.format(as_json=as_json)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "hunter2" not in done.stderr
    return done.stderr


def test_every_line_is_a_json_object_whatever_happens() -> None:
    documents: list[dict[str, Any]] = [json.loads(line) for line in written(as_json=True).splitlines()]
    said, stumbled, died, uncaught = documents
    assert said["message"] == 'camera porch: says "yes"\nand é ***'
    assert (said["level"], said["logger"], said["thread"]) == ("info", "detector.test", "MainThread")
    assert datetime.fromisoformat(said["time"].replace("Z", "+00:00")).tzinfo is not None
    assert "exception" not in said
    assert "ValueError: *** is wrong" in stumbled["exception"]
    assert (died["message"], died["level"]) == ("thread worker died", "critical")
    assert "ZeroDivisionError" in died["exception"]
    assert "RuntimeError: ***" in uncaught["exception"]


def test_for_people_it_stays_as_it_was() -> None:
    lines = written(as_json=False).splitlines()
    assert 'INFO detector.test: camera porch: says "yes"' in lines[0]
    assert any(line.startswith("Traceback") for line in lines)
