"""Targets that need parts of the service: MQTT commands and the HTTP API, made once a process."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote_to_bytes

from fastapi import FastAPI

from detector.api.app import create_app
from detector.config.schema import Api, Config
from detector.core.types import AlarmState
from support.commanded import Commanded
from support.control import MemoryControl

TOPICS = (
    "detector/alarm/set",
    "detector/porch/detect/set",
    "detector/porch/snooze/set",
    "detector/porch/suppress/set",
    "detector/restart/set",
    "homeassistant/status",
    "detector/+/detect/set",
)
METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW")
STATES = set(get_args(AlarmState))
ANSWER_S = 20.0


@functools.cache
def _commanded() -> Commanded:
    return Commanded(Path(tempfile.mkdtemp()), {"alarm": {"code": "7391"}})


def command(data: bytes) -> None:
    """A message on one of the command topics; without the code nothing disarms."""
    commanded = _commanded()
    commanded.alarm.command("ARM_AWAY", by="test")
    commanded.send(TOPICS[data[0] % len(TOPICS)] if data else TOPICS[0], data[1:])
    assert commanded.alarm.state in STATES
    assert commanded.alarm.state != "disarmed" or b"7391" in data or b"\\u" in data


@functools.cache
def _app() -> FastAPI:
    return create_app(MemoryControl("porch"), settings=Api(), config_schema=Config.model_json_schema())


def http(data: bytes) -> None:
    """A request: the first byte is the method, then a line of path and query, then headers, then the body."""
    method, rest = METHODS[data[0] % len(METHODS)] if data else "GET", data[1:]
    line, _, rest = rest.partition(b"\n")
    head, _, body = rest.partition(b"\n\n")
    status = asyncio.run(asyncio.wait_for(_answer(_scope(method, line, head), body), ANSWER_S))
    assert status is not None
    assert status < 500 or status == 503


def _scope(method: str, line: bytes, head: bytes) -> MutableMapping[str, Any]:
    path, _, query = line.partition(b"?")
    headers = [tuple(part.strip() for part in each.split(b":", 1)) for each in head.splitlines() if b":" in each]
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": unquote_to_bytes(b"/" + path.lstrip(b"/")).decode("utf-8", "replace"), "raw_path": b"/" + path,
        "query_string": query, "root_path": "", "client": ("127.0.0.1", 9), "server": ("127.0.0.1", 8080),
        "headers": [(b"host", b"127.0.0.1:8080"), *((name.lower(), value) for name, value in headers if name.lower() != b"host")],
    }  # fmt: skip


async def _answer(scope: MutableMapping[str, Any], body: bytes) -> int | None:
    """The status; a client that is gone once it has sent its request ends streams."""
    told: list[int] = []
    asked = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> MutableMapping[str, Any]:
        return asked.pop() if asked else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            told.append(message["status"])

    await _app()(scope, receive, send)
    return told[0] if told else None
