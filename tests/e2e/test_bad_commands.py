"""Nonsense over a real broker to the real program: counted, named once a minute, and without any effect."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from support.mosquitto import Mosquitto, RecordingSubscriber
from support.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TOPICS = (
    "detector/alarm/set", "detector/door/detect/set", "detector/door/snooze/set", "detector/door/suppress/set",
    "detector/restart/set", "phones/alice",
)  # fmt: skip
PAYLOADS = (
    b"", b"\x00", b"\xff\xfe\xfd", b"null", b"[]", b"{}", b"{" * 250, b'{"action": 5}', b'{"action": ["DISARM"]}',
    b"DISARM\nDISARM", b"DISARM;", b"maybe", b"-1", b"1e9", b"NaN", b"99999999999999999999", b"../../etc/passwd", b"x" * 300,
    b"ON OFF", "\u0661".encode(), b"x" * 2_000_000,
)  # fmt: skip
ODD_TOPICS = (
    "detector/nowhere/detect/set", "detector/nowhere/suppress/set", "detector//detect/set",
    f"detector/{'x' * 60_000}/snooze/set", "detector/ door/detect/set",
    "detector/DOOR/detect/set",
)  # fmt: skip


def state(program: Program) -> dict[str, Any]:
    """All that a command could change."""
    status = program.status()
    return {
        "alarm": status["alarm"]["state"],
        "door": status["cameras"]["door"]["state"],
        "snoozed": status["cameras"]["door"]["snoozed_until"],
        "suppressions": json.loads(program.get("/api/suppressions")[1]),
        "people": status["alarm"]["people"],
    }


def test_nonsense_changes_nothing_and_makes_one_line_a_minute(tmp_path: Path, model: Path, clip: Path) -> None:
    broker = Mosquitto(tmp_path / "mosquitto", verbose=False)
    broker.start()
    config = {
        "model": {"name": str(model)},
        "cameras": {"door": {"source": str(clip), "loop": True, "detect_fps": 2}},
        "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"},
        "presence": {"topics": {"alice": {"topic": "phones/alice"}}},
    }
    stranger = RecordingSubscriber(broker.port, "detector/alarm/state")
    with Program(tmp_path / "run", config) as program:
        program.wait_ready()
        program.wait_for(lambda: stranger.last("detector/alarm/state") == b"armed_away", "the alarm's state")
        before, begun = state(program), time.monotonic()
        sent = 0
        for topic in TOPICS:
            for payload in PAYLOADS:
                stranger.publish(topic, payload, qos=sent % 3)
                sent += 1
        for topic in ODD_TOPICS:
            for payload in (b"ON", b"LATEST", b"60"):
                stranger.publish(topic, payload)
                sent += 1

        def refused() -> int:
            return int(program.status()["broker"]["commands_refused"])

        program.wait_for(lambda: refused() >= sent, f"{sent} refused commands")
        assert refused() == sent
        assert f"detector_mqtt_commands_refused_total {sent}" in program.get("/metrics")[1].decode()
        assert state(program) == before
        lines = [line for line in program.log().splitlines() if "one line a minute" in line]
        assert 1 <= len(lines) <= 1 + (time.monotonic() - begun) / 60
        assert max(map(len, lines)) < 700
        assert "Traceback" not in program.log()
        assert program.stop() == 0
    stranger.close()
    broker.kill()


def test_what_was_retained_has_no_effect_on_a_start(tmp_path: Path, model: Path, clip: Path) -> None:
    broker = Mosquitto(tmp_path / "mosquitto", verbose=False)
    broker.start()
    stranger = RecordingSubscriber(broker.port, "detector/#")
    commands = {"alarm": "DISARM", "restart": "RESTART", "door/detect": "OFF", "door/snooze": "600"}
    for name, word in commands.items():
        stranger.publish(f"detector/{name}/set", word, retain=True)
    config = {
        "model": {"name": str(model)},
        "cameras": {"door": {"source": str(clip), "loop": True, "detect_fps": 2}},
        "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"},
    }
    with Program(tmp_path / "run", config) as program:
        program.wait_ready()
        program.wait_for(lambda: "retained 'DISARM' was ignored" in program.get("/api/alarm/audit")[1].decode())
        now = state(program)
        assert (now["alarm"], now["door"]) == ("armed_away", "online")
        assert stranger.last("detector/door/detect/state") == b"ON"
        assert program.stop() == 0
    stranger.close()
    broker.kill()
