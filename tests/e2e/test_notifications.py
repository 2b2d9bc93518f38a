"""Notifications by the real program: a receiver that is down, a kill, a target that is never there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.coat import coat_clip
from support.hook_server import HookServer
from support.mosquitto import Mosquitto, RecordingSubscriber
from support.program import Program
from support.webhook_receiver import is_authentic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SECRET = "a-secret-of-the-webhook"


def taken(hook: HookServer) -> list[dict[str, Any]]:
    return [json.loads(body) for _, body in hook.taken]


def test_alerts_reach_a_receiver_that_was_down_after_a_kill_signed_and_in_order(tmp_path: Path, model: Path) -> None:
    broker = Mosquitto(tmp_path / "mosquitto", verbose=False)
    broker.start()
    heard = RecordingSubscriber(broker.port, "detector/alerts")
    with HookServer(code=503).running() as hook:
        program = Program(
            tmp_path / "run",
            {
                "model": {"name": str(model)},
                "cameras": {
                    "door": {
                        "source": str(coat_clip(tmp_path / "coat.mp4")),
                        "loop": True,
                        "alert": {"cooldown_s": 0, "still_days": 0},
                    }
                },
                "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"},
                "api": {"public_url": "https://yard.example"},
                "notify": [
                    {"name": "dead", "webhook": "http://127.0.0.1:9/x", "secret": SECRET},
                    {"name": "hub", "webhook": f"http://127.0.0.1:{hook.port}/alerts", "secret": SECRET},
                ],
            },
        )
        with program:
            program.wait_for(lambda: hook.taken, "the first try")
            program.wait_for(lambda: any(p.startswith("notify hub: ") for p in program.status()["problems"]))
            assert program.status()["notify"]["hub"]["waiting"] >= 1
            program.kill()  # nothing was taken yet
            hook.code = 204
            hook.taken.clear()
            program.start()
            program.wait_ready()
            program.wait_for(lambda: len(hook.taken) >= 2, "what waited, and what is new")
            program.wait_for(lambda: program.status()["notify"]["hub"]["error"] is None)
            status = program.status()["notify"]
            assert status["dead"]["sent"] == 0
            assert status["dead"]["waiting"] >= 2
            assert SECRET not in program.log() + json.dumps(program.status())
            assert program.stop() == 0
        numbers = [alert["seq"] for alert in taken(hook)]
        assert numbers == sorted(numbers), "in order"
        assert numbers[0] == 1, "the first one too"
        assert json.loads(heard.heard[0].payload)["id"] == taken(hook)[0]["id"]
        first = taken(hook)[0]
        assert first["replayed"]
        assert first["snapshot_url"].startswith("https://yard.example/api/events/")
        headers, body = hook.taken[0]
        stamp, signed = headers["X-Detector-Timestamp"], headers["X-Detector-Signature"]
        request: dict[str, Any] = {"timestamp": stamp, "signature": signed, "now": float(stamp)}
        assert is_authentic(SECRET.encode(), **request, body=body)
        assert not is_authentic(SECRET.encode(), **request, body=body + b" ")
    heard.close()
    broker.kill()
