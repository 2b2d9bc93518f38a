"""The table's row of disks, for one that fails: it goes on and says so, alerts leave from memory, and are written later."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support import standing
from support.failing_disk import FailingDisk
from support.mosquitto import Mosquitto, RecordingSubscriber
from support.outboxes import opened
from support.program import Program

pytestmark = [pytest.mark.fault, pytest.mark.alone, pytest.mark.timeout(300)]

FAILURES = [("EIO", "wso"), ("EIO", "s"), ("ENOSPC", "wo"), ("EROFS", "wo")]
ALERTS = 3  # that each failure must let out
WITHIN_MS = 1000.0


@pytest.fixture
def disk(tmp_path: Path) -> FailingDisk:
    return FailingDisk(tmp_path, tmp_path / "run" / "data")


def _config(folder: Path, broker: Mosquitto) -> dict[str, Any]:
    """Alerts of the one who stands there, each second."""
    return {
        "model": standing.model(folder),
        "cameras": {"door": standing.camera(folder, fps=5, repeat_s=1)},
        "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"},
    }


def _alerts(subscriber: RecordingSubscriber) -> list[dict[str, Any]]:
    return [json.loads(heard.payload) for heard in list(subscriber.heard)]


def _more_alerts(subscriber: RecordingSubscriber, name: str) -> list[dict[str, Any]]:
    """Those of the next seconds."""
    before = len(subscriber.heard)
    subscriber.wait_for(lambda heard: len(heard) >= before + ALERTS, f"alerts in spite of {name}")
    return _alerts(subscriber)[before:]


def _fault(program: Program) -> str | None:
    fault: str | None = program.status()["outbox"]["fault"]
    return fault


def test_alerts_leave_within_a_second_while_the_disk_fails_in_each_way(
    tmp_path: Path, broker: Mosquitto, disk: FailingDisk
) -> None:
    subscriber, while_failing = RecordingSubscriber(broker.port, "detector/alerts"), []
    with Program(tmp_path / "run", _config(tmp_path, broker), env=disk.env) as program:
        program.wait_ready()
        subscriber.wait_for(lambda heard: heard, "an alert before")
        for name, operations in FAILURES:
            disk.fail(name, operations)
            program.wait_for(lambda: _fault(program), f"{name} in the status")
            while_failing += _more_alerts(subscriber, name)
            problems = program.status()["problems"]
            assert any(problem.startswith("outbox: ") for problem in problems), problems
            assert program.get("/healthz")[0] == 200
            disk.mend()
            program.wait_for(lambda: _fault(program) is None, f"the end of {name}")
        after = {one["id"] for one in _more_alerts(subscriber, "the disk that was mended")}
        program.wait_for(lambda: after & _written(program), "the history goes on")
        heard = _alerts(subscriber)
        assert program.stop() == 0
    subscriber.close()
    assert sorted({one["seq"] for one in heard}) == list(range(1, 1 + max(one["seq"] for one in heard)))
    slowest = max(one["latency_ms"]["confirm_to_publish"] for one in while_failing)
    print(json.dumps({"alerts": len(while_failing), "slowest_ms": slowest}))
    assert slowest <= WITHIN_MS
    assert "Traceback" not in program.log()


def _written(program: Program) -> set[str]:
    """The alerts that the history knows."""
    events = json.loads(program.get("/api/events?limit=1000")[1])
    return {alert["id"] for event in events for alert in event["alerts"]}


def _kept(path: Path) -> set[str]:
    """The alerts in the outbox's file."""
    with closing(opened(path)) as file:
        return {entry.key for entry in file.pending("alert", after_seq=0, limit=-1)[0]}


@pytest.mark.parametrize("name", ["EIO", "ENOSPC"])
def test_alerts_kept_in_memory_are_written_when_the_disk_is_back(
    tmp_path: Path, broker: Mosquitto, disk: FailingDisk, name: str
) -> None:
    subscriber = RecordingSubscriber(broker.port, "detector/alerts", durable="kept")
    broker.save()
    program = Program(tmp_path / "run", _config(tmp_path, broker), env=disk.env)
    with program:
        program.wait_ready()
        subscriber.wait_for(lambda heard: heard, "an alert before")
        broker.kill()
        disk.fail(name)
        program.wait_for(lambda: _fault(program), f"{name} in the status")
        program.wait_for(lambda: program.status()["outbox"]["pending_alerts"] >= ALERTS, "alerts in memory")
        waiting = program.status()["outbox"]["pending_alerts"]
        disk.mend()
        program.wait_for(lambda: _fault(program) is None, "the disk's return")
        program.kill()
        kept = _kept(tmp_path / "run" / "data" / "outbox.db")
        broker.start()
        program.start()
        program.wait_ready()
        program.wait_for(lambda: kept <= {one["id"] for one in _alerts(subscriber)}, "the kept alerts")
        assert program.stop() == 0
    subscriber.close()
    assert len(kept) >= waiting
    seqs = {one["seq"] for one in _alerts(subscriber)}
    assert seqs == set(range(1, 1 + max(seqs))), "no number is missing"
