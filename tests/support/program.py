"""The real program as a process: started, asked over HTTP, told to stop, its words kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from support.mosquitto import free_port

COMMAND = [sys.executable, "-W", "error", "-m", "detector"]
DEADLINE_S = 240.0  # generous: on a busy machine a start alone may take one


def once(
    *arguments: str | Path, timeout: float = 100, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=env)


class Program:
    """`detector run` on a config of its own in `folder`; a context manager that always ends it."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        *,
        env: dict[str, str] | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / "detector.yaml"
        self.port = free_port()
        api = {"port": self.port, **config.get("api", {})}
        self.path.write_text(yaml.safe_dump({"data_dir": str(folder / "data"), **config, "api": api}), encoding="utf-8")
        self._log = folder / "log"
        self._env, self._command = env, command
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [*self._command, "run", "-c", str(self.path)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self._env)

    def wait_ready(self) -> None:
        self.wait_for(lambda: self.get("/readyz")[0] == 200, "ready")

    def wait_for(self, condition: Callable[[], object], what: str = "", *, timeout: float = DEADLINE_S) -> None:
        deadline = time.monotonic() + timeout
        while True:
            assert self.process is None or self.process.poll() is None, f"ended: {self.log()}"
            try:
                if condition():
                    return
            except OSError:
                pass  # not listening yet
            assert time.monotonic() < deadline, f"{what or 'it'} did not come: {self.log()}"
            time.sleep(0.1)

    def get(
        self, path: str, *, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} if body is not None else {}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method=method, data=data, headers={**given, **(headers or {})}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def status(self) -> dict[str, Any]:
        code, body = self.get("/api/status")
        assert code == 200, body
        document: dict[str, Any] = json.loads(body)
        return document

    def stop(self, *, timeout: float = 30) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory runs out."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def __enter__(self) -> Program:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
