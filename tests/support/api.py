"""The HTTP window served for real, over loopback, on a free port."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import httpx
from fastapi import FastAPI

from detector.api.app import create_app
from detector.api.server import ApiServer
from detector.config.schema import Api, Config
from detector.core.link_signer import LinkSigner

from .control import MemoryControl

STOP_S = 10.0


@dataclass
class RunningApi:
    """A running server, and a client for it."""

    control: MemoryControl
    app: FastAPI
    server: ApiServer
    client: httpx.Client
    stop: threading.Event
    thread: threading.Thread

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.server.port

    def raw(self) -> HTTPConnection:
        """A connection that sends paths as they are given."""
        return HTTPConnection(*self.address, timeout=20)

    def close(self) -> None:
        self.client.close()
        self.stop.set()
        self.thread.join(STOP_S)
        assert not self.thread.is_alive(), "the server did not stop"


StartApi = Callable[..., RunningApi]
TOKEN = "correct-horse"


def running_api(
    *, control: MemoryControl | None = None, links: LinkSigner | None = None, **settings: Any
) -> RunningApi:
    """`settings`: keys of the config's `api`."""
    control = control or MemoryControl()
    app = create_app(control, settings=Api(**settings), links=links, config_schema=Config.model_json_schema())
    server = ApiServer(app=app, host="127.0.0.1", port=0)
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,), name="api")
    thread.start()
    # Nothing is encrypted here: reading the system's certificates would take longer than a test.
    client = httpx.Client(base_url=server.url, timeout=20, verify=False, trust_env=False)
    window = RunningApi(control, app, server, client, stop, thread)
    assert server.wait_started(20)
    return window
