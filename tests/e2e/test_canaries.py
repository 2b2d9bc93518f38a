"""The last row of the faults table: canary secrets in cameras, MQTT, token and notifications; 0 hits in all that is given out."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support import standing
from support.canaries import ODD, canary, command_lines, leaking_files, leaks
from support.mjpeg_server import MjpegServer
from support.mosquitto import Mosquitto, RecordingSubscriber
from support.program import Program

pytestmark = pytest.mark.slow

CANARIES = {name: canary(name) for name in ("encoded", "query", "pipeline", "mqtt", "token", "hook", "phone")}
# With / ? # and @ such a URL has two readings and is refused: test_secrets.py has each of them alone.
CANARIES["raw"] = canary("raw", odd=ODD.translate(dict.fromkeys(map(ord, "/?#@"))))
TOKEN = quote(CANARIES["token"].text, safe="")  # a header holds ASCII alone
ROOT = Path(__file__).resolve().parents[2]
CRASHING = ROOT / "tests" / "support" / "crashing.py"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path / "mosquitto", credentials=("ha", CANARIES["mqtt"].text))
    mosquitto.start()
    yield mosquitto
    mosquitto.kill()


@pytest.fixture
def camera() -> Iterator[MjpegServer]:
    with MjpegServer(user="cam", password=CANARIES["encoded"].text) as server:
        yield server


def config(folder: Path, broker: Mosquitto, camera: MjpegServer) -> dict[str, Any]:
    words = {name: each.text for name, each in CANARIES.items()}
    sources = {
        "sees": standing.camera(folder, fps=2),
        "login": camera.url,
        "raw": f"rtsp://cam:{words['raw']}@127.0.0.1:9/s",
        "query": f"http://127.0.0.1:9/v?loginuse=a&loginpas={quote(words['query'], safe='')}",
        "pipeline": f"gst:rtspsrc location=rtsp://127.0.0.1:9/s user-id=a user-pw={json.dumps(words['pipeline'])} ! fakesink",
    }
    target = f"http://127.0.0.1:9/hook?token={quote(words['hook'], safe='')}"
    return {
        "model": standing.model(folder),
        "cameras": {name: {"source": s, "timeout_s": 1} if isinstance(s, str) else s for name, s in sources.items()},
        "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}", "username": "ha", "password": words["mqtt"], "stats_interval_s": 1},
        "api": {"token": TOKEN},
        "notify": [
            {"name": "hook", "webhook": target, "secret": words["hook"]},
            {"name": "phone", "url": f"json://me:{quote(words['phone'], safe='')}@127.0.0.1:9/x"},
        ],
    }  # fmt: skip


def get_paths(program: Program, headers: dict[str, str]) -> list[str]:
    """Each path that the service answers to GET, as it lists them itself, and its page."""
    listed = json.loads(program.get("/openapi.json", headers=headers)[1])["paths"]
    event = json.loads(program.get("/api/events", headers=headers)[1])[0]
    names = {"camera": "sees", "event_id": event["id"], "alert_id": event["alerts"][0]["id"], "target": "hook"}
    filled = {
        re.sub(r"\{(\w+)\}", lambda m: names.get(m[1], "none"), path): methods for path, methods in listed.items()
    }
    routes = [path for path, methods in filled.items() if "get" in methods and "mjpg" not in path]
    page = [f"/page/{file.name}" for file in (resources.files("detector.api") / "page").iterdir()]
    return [*routes, *page, "/", "/docs", "/openapi.json", "/api/nothing"]


def test_no_canary_gets_out_of_the_running_program(tmp_path: Path, broker: Mosquitto, camera: MjpegServer) -> None:
    subscriber = RecordingSubscriber(broker.port, "#", credentials=("ha", CANARIES["mqtt"].text))
    token = {"X-API-Key": TOKEN}
    with Program(tmp_path / "run", config(tmp_path, broker, camera)) as program:
        assert program.process is not None
        program.wait_for(lambda: program.get("/readyz", headers=token)[0] in (200, 503))
        subscriber.wait_for(lambda heard: any(h.topic == "detector/alerts" for h in heard), "an alert")
        program.wait_for(lambda: json.loads(program.get("/api/events", headers=token)[1]), "the visit in the history")
        program.wait_for(
            lambda: all(
                told["state"] == "online" if name in ("sees", "login") else told["error"]
                for name, told in json.loads(program.get("/api/status", headers=token)[1])["cameras"].items()
            ),
            "each camera's own state",
        )
        answers = {
            (who, path): program.get(path, headers=headers)
            for who, headers in (("token", token), ("none", {}))
            for path in get_paths(program, token)
        }
        lines = command_lines(program.process.pid)
        kept = leaking_files(CANARIES, tmp_path / "run" / "data")
        assert program.stop() == 0
    subscriber.close()
    assert {code for (who, _), (code, _) in answers.items() if who == "token"} >= {200, 404}
    assert b"detector_" in answers["token", "/metrics"][1]
    assert answers["none", "/metrics"][0] == 401
    assert {key: found for key, (_, body) in answers.items() if (found := leaks(CANARIES, body))} == {}
    assert len(subscriber.heard) > 20
    assert [h.topic for h in subscriber.heard if leaks(CANARIES, h.topic.encode() + h.payload)] == []
    assert "-m detector" in lines
    assert leaks(CANARIES, lines) == []
    assert kept == leaking_files(CANARIES, tmp_path / "run" / "data") == {}
    assert leaks(CANARIES, program.log()) == []
    assert set(leaks(CANARIES, program.path.read_bytes())) == set(CANARIES), "the search finds what is there"


@pytest.mark.parametrize(("place", "log_format"), [("inference", "json"), ("watch", "text"), ("watch", "json")])
def test_no_canary_is_in_what_a_crash_leaves(
    tmp_path: Path, broker: Mosquitto, camera: MjpegServer, place: str, log_format: str
) -> None:
    token = {"X-API-Key": TOKEN}
    document = {**config(tmp_path, broker, camera), "log": {"format": log_format}}
    command = [sys.executable, "-W", "error", str(CRASHING), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Program(tmp_path / "run", document, env=environment, command=command) as program:
        assert program.process is not None
        program.wait_for(lambda: "running: " in program.log())
        code, body = program.get("/api/status", headers=token)
        (tmp_path / place).touch()
        assert program.process.wait(30) == 1
    assert (code, leaks(CANARIES, body)) == (500, [])
    log = program.log()
    assert "crash in api" in log
    assert f"crash in {place}" in log
    assert log.count("Traceback") >= 2
    assert leaks(CANARIES, log) == []
    assert leaking_files(CANARIES, tmp_path / "run" / "data") == {}
