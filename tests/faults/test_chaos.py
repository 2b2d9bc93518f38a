"""Things break on purpose, and nothing is lost: minutes long, so `make fault` runs them, not `make test`."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path
from typing import Any

import pytest

from support import sample
from support.clip_server import ClipServer
from support.mosquitto import Mosquitto, RecordingSubscriber
from support.program import Program
from support.rtsp_server import why_not

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]
ROUNDS = 4


@pytest.fixture
def clip() -> Path:
    sample.model()  # the service wants it too
    return sample.clip()


def config(clip: Path | str, broker: Mosquitto, **camera: Any) -> dict[str, Any]:
    source = {"source": str(clip), "alert": {"cooldown_s": 0}, **camera}
    return {"cameras": {"door": source}, "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"}}


def heard_ids(subscriber: RecordingSubscriber) -> list[str]:
    return [json.loads(h.payload)["id"] for h in list(subscriber.heard)]


def told_ids(program: Program) -> set[str]:
    """The alerts that the service's own history knows of."""
    _, body = program.get("/api/events?limit=1000")
    return {alert["id"] for event in json.loads(body) for alert in event["alerts"]}


def test_a_broker_killed_again_and_again_gets_every_alert(tmp_path: Path, clip: Path, broker: Mosquitto) -> None:
    subscriber = RecordingSubscriber(broker.port, "detector/alerts", durable="ledger")
    broker.save()
    with Program(tmp_path / "run", config(clip, broker, loop=True)) as program:
        program.wait_ready()
        for _ in range(ROUNDS):
            time.sleep(5)
            broker.kill()
            time.sleep(3)
            broker.start()
        program.wait_for(
            lambda: (s := program.status())["outbox"]["pending_alerts"] == 0 and s["broker"]["state"] == "connected"
        )
        told = told_ids(program)
        assert len(told) >= ROUNDS
        program.wait_for(lambda: told <= set(heard_ids(subscriber)), "every alert")
        assert program.stop() == 0
    subscriber.close()


def test_a_service_killed_again_and_again_loses_no_alert_it_wrote(
    tmp_path: Path, clip: Path, broker: Mosquitto
) -> None:
    subscriber = RecordingSubscriber(broker.port, "detector/alerts")
    told: set[str] = set()
    program = Program(tmp_path / "run", config(clip, broker, loop=True))
    for _ in range(ROUNDS):
        program.start()
        program.wait_ready()
        time.sleep(4)
        told |= told_ids(program)
        program.kill()
    with program:
        program.wait_ready()
        program.wait_for(lambda: told <= set(heard_ids(subscriber)), "every alert")
        assert program.stop() == 0
    assert told
    subscriber.close()


@pytest.mark.skipif(why_not() is not None, reason=f"needs a real RTSP server: {why_not()}")
def test_a_camera_that_hangs_dies_and_returns_is_seen_again_each_time(
    tmp_path: Path, clip: Path, broker: Mosquitto
) -> None:
    subscriber = RecordingSubscriber(broker.port, "detector/door/status")
    with ClipServer(clip) as camera, Program(tmp_path / "run", config(camera.url, broker, timeout_s=2)) as program:
        program.wait_ready()
        for number in range(ROUNDS):
            subscriber.wait_for(lambda _: subscriber.last("detector/door/status") == b"online")
            if number % 2:
                camera.kill()
            else:
                camera.pause()
            subscriber.wait_for(lambda _: subscriber.last("detector/door/status") == b"offline")
            assert program.get("/healthz")[0] == 200
            camera.kill()
            camera.start()
            program.wait_for(lambda: program.status()["cameras"]["door"]["state"] == "online", "the camera")
        assert program.stop() == 0
    subscriber.close()


def test_alerts_go_out_while_the_disk_takes_no_more(tmp_path: Path, clip: Path, broker: Mosquitto) -> None:
    """RLIMIT_FSIZE stands for a full disk: every write past it fails."""
    subscriber = RecordingSubscriber(broker.port, "detector/alerts")
    program = Program(tmp_path / "run", config(clip, broker, loop=True))
    with program:
        program.wait_ready()
        assert program.process is not None
        subscriber.wait_for(lambda h: h)
        before = len(heard_ids(subscriber))
        resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (1, 1))
        program.wait_for(lambda: len(heard_ids(subscriber)) > before + 1, "alerts in spite of the disk")
        program.wait_for(lambda: program.status()["outbox"]["fault"], "the fault in the status")
        assert program.get("/healthz")[0] == 200
        assert any("outbox" in problem for problem in program.status()["problems"])
        assert program.stop() == 0
    subscriber.close()
