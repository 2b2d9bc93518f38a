"""What `make run` runs, as a newcomer sees it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from support.program import once

pytestmark = pytest.mark.usefixtures("clip")


def test_the_demo_prints_alerts_as_a_subscriber_received_them_and_ends_by_itself() -> None:
    result = once("demo", "--duration", "14")
    assert result.returncode == 0, result.stderr
    alerts = re.findall(r"^ALERT \d+ .*person at demo .*score 0\.\d\d .*latency (\d+) ms", result.stdout, re.MULTILINE)
    assert alerts, result.stdout
    assert all(0 < int(ms) < 10_000 for ms in alerts)
    assert re.search(r"page +http://127\.0\.0\.1:\d+/", result.stdout)
    assert "Ctrl-C" in result.stdout
    assert f"stopped after {len(alerts)} alert" in result.stdout
    assert result.stderr == "", "nothing is wrong, so nothing is said"


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "soon"])
def test_a_wrong_duration_is_refused(wrong: str) -> None:
    result = once("demo", "--duration", wrong)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("detector: ")


def test_nothing_is_left_behind_and_nobody_is_reported_to(tmp_path: Path, clip: Path) -> None:
    # ONNX Runtime would keep a device id under the home folder and a session file under TMPDIR.
    env = {**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path), "DETECTOR_CACHE": str(clip.parents[1])}
    env.pop("XDG_CACHE_HOME", None)
    assert once("demo", "--duration", "2", env=env).returncode == 0
    assert list(tmp_path.iterdir()) == []
