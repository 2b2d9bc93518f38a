"""A program that takes webhooks: a real HTTP server over loopback that keeps what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class HookServer:
    """An HTTP server that keeps what it was sent and answers `code`."""

    code: int = 200
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    hang: threading.Event | None = None
    port: int = 0

    @contextmanager
    def running(self) -> Iterator[HookServer]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.hang is not None:
                    outer.hang.wait(20)
                outer.taken.append((dict(self.headers), body))
                self.send_response(outer.code)
                if outer.code in (301, 302, 307):
                    self.send_header("Location", f"http://127.0.0.1:{outer.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            if self.hang is not None:
                self.hang.set()
            server.shutdown()
            thread.join()
            server.server_close()
