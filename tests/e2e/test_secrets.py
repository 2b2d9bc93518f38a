"""A running service and `detector check` with odd passwords: none of them gets out, by whatever way."""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import closing
from http.client import HTTPConnection
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from support.canaries import command_lines
from support.program import Program, once

PASSWORDS = [
    "p#ss-9a",
    "wh?t-9b",
    "ab/cd-9c",
    "my pass-9d",
    "it's-9e",
    'say"-9f',
    "<a>-9g",
    "a@b-9h",
    "100%-9i",
    "pä-9j",
]
FROM_VARIABLE = "from/a variable-9k"
TOKEN = 'the/token "of this-9l'


def config(folder: Path, model: Path) -> dict[str, Any]:
    sources = [f"rtsp://cam:{form}@127.0.0.1:9/s" for p in PASSWORDS for form in (p, quote(p, safe=""))]
    sources += ["rtsp://cam:${ODD_PW}@127.0.0.1:9/s", f"http://127.0.0.1:9/v?loginuse=a&loginpas={quote(PASSWORDS[0])}"]
    sources += [f"gst:rtspsrc location=rtsp://127.0.0.1:9/s user-id=cam user-pw='{PASSWORDS[0]}' ! decodebin"]
    return {
        "model": {"name": str(model), "threads": 1},
        "cameras": {f"c{i}": {"source": source, "timeout_s": 1} for i, source in enumerate(sources)},
        "mqtt": {"broker": "mqtt://127.0.0.1:9", "username": "ha", "password": PASSWORDS[2]},
        "api": {"token": TOKEN},
    }


def leaked(text: str) -> list[str]:
    secrets = [*PASSWORDS, FROM_VARIABLE, TOKEN]
    forms = {s: (s, quote(s, safe=""), quote(s), json.dumps(s)[1:-1]) for s in secrets}
    ends = [secret[-3:] for secret in secrets]  # half of a password is one, too
    return [s for s in secrets if any(form in text for form in forms[s])] + [end for end in ends if end in text]


PAGE_FILES = {f"/page/{file.name}" for file in (resources.files("detector.api") / "page").iterdir()}


def every_get_answer(program: Program) -> dict[tuple[str, str], str]:
    """Status, headers and body of each GET route (as the service itself lists them), by who asked and path."""
    session = ask(program, "/api/session", {"Content-Type": "application/json"}, json.dumps({"token": TOKEN}).encode())
    cookie = re.search(r"set-cookie: ([^;]+)", session, re.IGNORECASE)
    assert cookie is not None
    who = {"nobody": {}, "token": {"X-API-Key": TOKEN}, "cookie": {"Cookie": cookie[1]}}
    listed = json.loads(program.get("/openapi.json", headers=who["token"])[1])["paths"]
    routes = {
        path.format(camera="c0", event_id="1.5-a", suppression_id="1.5-a")
        for path, methods in listed.items()
        if "get" in methods
    }
    assert {"/metrics", "/api/config", "/api/cameras/c0/stream.mjpg"} <= routes
    paths = [*routes, "/", "/docs", "/docs/", "/openapi.json", "/api/nothing", *PAGE_FILES]
    return {(name, path): ask(program, path, headers) for name, headers in who.items() for path in paths}


def ask(program: Program, path: str, headers: dict[str, str], body: bytes | None = None) -> str:
    connection = HTTPConnection("127.0.0.1", program.port, timeout=20)
    with closing(connection):
        connection.request("POST" if body else "GET", path, body, headers)
        answer = connection.getresponse()
        return f"{answer.status}\n{answer.headers}\n{answer.read().decode()}"


def test_no_password_gets_out_of_a_running_service(tmp_path: Path, model: Path) -> None:
    environment = {**os.environ, "ODD_PW": f"{FROM_VARIABLE}\r\n"}
    with Program(tmp_path, config(tmp_path, model), env=environment) as program:
        assert program.process is not None
        program.wait_for(lambda: program.get("/healthz")[1])
        headers = {"X-API-Key": TOKEN}
        deadline = time.monotonic() + 20
        cameras: dict[str, Any] = {}
        lines = ""
        while time.monotonic() < deadline and not (cameras and all(c["error"] for c in cameras.values())):
            lines += command_lines(program.process.pid)
            cameras = json.loads(program.get("/api/status", headers=headers)[1])["cameras"]
            time.sleep(0.2)
        assert all(camera["error"] for camera in cameras.values())
        answers = every_get_answer(program)
        assert len(answers) > 3 * 18
        for what, text in answers.items():
            assert not leaked(text), what
        open_ones = {path for (who, path), text in answers.items() if who == "nobody" and not text.startswith("401")}
        assert open_ones == {"/", "/docs", "/docs/", "/healthz", "/readyz", "/api/session", *PAGE_FILES}
        for path in ("/healthz", "/readyz"):
            assert "127.0.0.1" not in answers["nobody", path], "without the token no address and no reason"
        assert "127.0.0.1" in answers["token", "/readyz"]
        assert program.get("/readyz") == (503, program.get("/readyz")[1])
        assert b"refused" not in program.get("/readyz")[1]
        assert program.stop() == 0
        assert not leaked(program.log())
        assert "127.0.0.1:9" in program.log()
        assert "-m detector" in lines
        assert not leaked(lines)


def test_no_password_gets_out_of_check(tmp_path: Path, model: Path) -> None:
    program = Program(tmp_path, config(tmp_path, model))
    environment = {**os.environ, "ODD_PW": f"{FROM_VARIABLE}\r", "COLUMNS": "400"}
    for extra in ([], ["--json"]):
        result = once("check", "-c", program.path, *extra, env=environment)
        assert result.returncode == 1
        assert "127.0.0.1:9" in result.stdout
        assert not leaked(result.stdout + result.stderr)
