"""The HTTP API in a thread of its own, which also imports it: FastAPI takes half a second."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from detector.api.control import Control
from detector.config.schema import Api, Config
from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import DetectorError
from detector.core.link_signer import LinkSigner

if TYPE_CHECKING:
    from detector.api.server import ApiServer


class ApiThread:
    """`run` in a thread, `wait_started` from another."""

    def __init__(
        self, *, control: Control, settings: Api, links: LinkSigner | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._control, self._settings, self._links, self._clock = control, settings, links, clock
        self._listening = threading.Event()
        self._server: ApiServer | None = None
        self._error: DetectorError | None = None

    @property
    def progress_mono(self) -> float:
        """When the server's loop last turned, monotonic s; now until it runs."""
        return self._clock.mono() if self._server is None else self._server.progress_mono

    @property
    def port(self) -> int | None:
        """Where it listens; None until it does."""
        return None if self._server is None else self._server.port

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop`; `wait_started` raises why it could not."""
        try:
            server = self._open()
        except DetectorError as error:
            self._error = error
            return
        finally:
            self._listening.set()
        server.run(stop)

    def wait_started(self, timeout_s: float) -> str:
        """The page's address once it answers; raises DetectorError where it cannot listen or does not start."""
        self._listening.wait(timeout_s)
        if self._error is not None:
            raise self._error
        if self._server is None or not self._server.wait_started(timeout_s):
            raise DetectorError(f"the API did not start within {timeout_s:.0f} s")
        return self._server.url

    def _open(self) -> ApiServer:
        from detector.api.app import create_app
        from detector.api.server import ApiServer

        settings = self._settings
        app = create_app(self._control, settings=settings, links=self._links, config_schema=Config.model_json_schema())
        self._server = ApiServer(app=app, host=settings.host, port=settings.port)
        return self._server
