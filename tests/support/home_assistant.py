"""A real Home Assistant for tests: a process of its own on a free loopback port, set up as a user would over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from support.mosquitto import free_port

_PROJECT = Path(__file__).resolve().parents[2]
START_S = 400.0  # its first start takes 15 s of a core, and a busy machine shares that core
WAIT_S = 120.0
# What it says of itself on any machine.
_HARMLESS = re.compile(r"Skipping pip|zlib_ng|turbojpeg|aiohttp_fast_zlib|is taking over \d+ seconds")


def program() -> Path:
    """`hass`; skips where Home Assistant is not set up."""
    path = Path(os.environ.get("DETECTOR_HASS", _PROJECT / ".venv-ha" / "bin" / "hass"))
    if not path.exists():
        pytest.skip("Home Assistant is not set up: make ha-test does that, given Python >= 3.13 (HA_PYTHON=...)")
    return path


def wait_for(condition: Callable[[], Any], what: str, *, timeout: float = WAIT_S) -> Any:
    """The condition's first true result."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.2)


class HomeAssistant:
    """`start` and `stop` as often as wanted, on the same folder and port; the first start makes its owner."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._program = program()
        self._process: subprocess.Popen[bytes] | None = None
        self._token: dict[str, Any] = {}
        folder.mkdir()
        http = f"http: {{server_host: 127.0.0.1, server_port: {self.port}}}\n"
        home = "homeassistant: {name: Test, latitude: 0, longitude: 0, elevation: 0, time_zone: UTC}\n"
        text = f"{home}{http}logger: {{default: warning}}\nautomation: !include automations.yaml\n"
        (folder / "configuration.yaml").write_text(f"{text}api:\nconfig:\nmobile_app:\n", encoding="utf-8")
        (folder / "automations.yaml").write_text("[]\n", encoding="utf-8")

    @property
    def _client(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Returns once it runs and is signed in to."""
        with (self.folder / "stdout").open("ab") as log:
            command = [str(self._program), "-c", str(self.folder), "--skip-pip"]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self._answers, "Home Assistant", timeout=START_S)
        self._sign_in()
        wait_for(lambda: self.get("/api/config")["state"] == "RUNNING", "its start", timeout=START_S)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(120)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
        self._process = None

    def kill(self) -> None:
        """As a power cut would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        try:
            self._request("GET", "/manifest.json")
        except OSError:
            return False
        return True

    def _sign_in(self) -> None:
        if not self._token:
            owner = {"name": "Owner", "username": "owner", "password": "a long password", "language": "en"}
            made = self._request("POST", "/api/onboarding/users", {"client_id": self._client, **owner})
            self._ask_token(grant_type="authorization_code", code=made["auth_code"])
        else:
            self._ask_token(grant_type="refresh_token", refresh_token=self._token["refresh_token"])

    def _ask_token(self, **form: str) -> None:
        body = urllib.parse.urlencode({"client_id": self._client, **form}).encode()
        request = urllib.request.Request(f"{self._client}auth/token", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            self._token |= json.loads(answer.read())

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if "access_token" in self._token:
            headers["Authorization"] = f"Bearer {self._token['access_token']}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._client}{path[1:]}", data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise OSError(f"{method} {path}: {error.code} {error.read()!r}") from None
        return json.loads(content) if content else None

    def address(self, path: str) -> str:
        """Of `path`, which begins with a slash."""
        return f"{self._client}{path[1:]}"

    @property
    def signed_in(self) -> dict[str, str]:
        """The header that its owner sends."""
        return {"Authorization": f"Bearer {self._token['access_token']}"}

    def get(self, path: str) -> Any:
        return self._request("GET", path)

    def post(self, path: str, body: Any) -> Any:
        return self._request("POST", path, body)

    def call(self, service: str, **data: Any) -> Any:
        """Call a service, such as switch.turn_on."""
        return self.post(f"/api/services/{service.replace('.', '/')}", data)

    def add_mqtt(self, port: int) -> None:
        """The MQTT integration, as a user adds it."""
        flow = self.post("/api/config/config_entries/flow", {"handler": "mqtt", "show_advanced_options": False})
        done = self.post(f"/api/config/config_entries/flow/{flow['flow_id']}", {"broker": "127.0.0.1", "port": port})
        assert done["type"] == "create_entry", done

    def states(self) -> dict[str, dict[str, Any]]:
        return {one["entity_id"]: one for one in self.get("/api/states")}

    def state(self, entity: str) -> str | None:
        found = self.states().get(entity)
        return None if found is None else str(found["state"])

    def attributes(self, entity: str) -> dict[str, Any]:
        found: dict[str, Any] = self.states()[entity]["attributes"]
        return found

    def until(self, entity: str, state: Callable[[str | None], object] | str, *, timeout: float = WAIT_S) -> None:
        """Wait until the entity has the state, or one that `state` holds for."""
        wanted = state if callable(state) else lambda now: now == state
        seen: list[str | None] = [None]

        def fits() -> object:
            seen[0] = self.state(entity)
            return wanted(seen[0])

        try:
            wait_for(fits, entity, timeout=timeout)
        except AssertionError:
            raise AssertionError(f"{entity} is {seen[0]}, not {state}: {self.faults()}") from None

    def render(self, template: str) -> str:
        """What a template gives."""
        request = urllib.request.Request(
            f"{self._client}api/template",
            data=json.dumps({"template": template}).encode(),
            headers={"Authorization": f"Bearer {self._token['access_token']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(answer.read().decode())

    def log(self) -> str:
        return (self.folder / "stdout").read_text(errors="replace")

    def faults(self) -> list[str]:
        """Its warnings and errors, but for those that it has on any machine."""
        lines = [line for line in self.log().splitlines() if re.search(r" (WARNING|ERROR|CRITICAL) ", line)]
        return [line for line in lines if not _HARMLESS.search(line)]


class Phone:
    """A phone with the app: registered with a Home Assistant, it gets notifications over a push server of its own."""

    def __init__(self, home: HomeAssistant) -> None:
        self.received: list[dict[str, Any]] = []
        received = self.received

        class Push(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                body = b"{}"
                self.send_response(201)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Push)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self._home = home
        push = {"push_token": "t", "push_url": f"http://127.0.0.1:{self._server.server_port}/push"}
        about = {"device_id": "p1", "app_id": "test", "app_name": "Test", "app_version": "1", "device_name": "Pocket"}
        about |= {"manufacturer": "x", "model": "y", "os_name": "Android", "os_version": "14"}
        made = home.post("/api/mobile_app/registrations", {**about, "supports_encryption": False, "app_data": push})
        self._webhook = made["webhook_id"]

    @property
    def device_id(self) -> str:
        """As Home Assistant knows it."""
        return str(wait_for(lambda: self._home.render("{{ device_id('Pocket') or '' }}"), "the phone's device"))

    def services(self) -> set[str]:
        """What Home Assistant can be asked to do by now, as DOMAIN.NAME."""
        return {f"{one['domain']}.{name}" for one in self._home.get("/api/services") for name in one["services"]}

    def answer(self, action: str) -> None:
        """Tap one of a notification's actions."""
        event = {"event_type": "mobile_app_notification_action", "event_data": {"action": action}}
        self._home.post(f"/api/webhook/{self._webhook}", {"type": "fire_event", "data": event})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
