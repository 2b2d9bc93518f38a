"""A small real HTTP file server on loopback: ranges, validators, and faults on demand."""

from __future__ import annotations

import re
import ssl
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(slots=True)
class Served:
    """What lies at one path; the faults are meant to be changed while a test goes on."""

    data: bytes
    etag: str | None = '"v1"'
    ranges: bool = True
    shown_length: bool = True
    status: HTTPStatus | None = None  # answer with this instead
    cut_after: list[int] = field(default_factory=list)  # the next answers end after so many bytes
    range_shift: int = 0  # claims to send another part than was asked for
    hold: threading.Event | None = None  # the body waits for it
    asked: threading.Event = field(default_factory=threading.Event)


class FileServer:
    """`files` by path; `requests` are the headers of every request, oldest first."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.files: dict[str, Served] = {}
        self.requests: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def url(self, path: str) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}{path}"

    def close(self) -> None:
        for served in self.files.values():
            if served.hold:
                served.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class FileHandler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.requests.append(dict(self.headers.items()))
                served = owner.files.get(self.path)
                if served is None or served.status:
                    self.send_error((served and served.status) or HTTPStatus.NOT_FOUND)
                else:
                    _answer(self, served)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        return FileHandler


def _answer(handler: BaseHTTPRequestHandler, served: Served) -> None:
    start = _start(handler, served)
    if start >= len(served.data):
        handler.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        handler.send_header("Content-Range", f"bytes */{len(served.data)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    body = served.data[start:]
    handler.send_response(HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK)
    if start:
        handler.send_header(
            "Content-Range", f"bytes {start + served.range_shift}-{len(served.data) - 1}/{len(served.data)}"
        )
    if served.shown_length:
        handler.send_header("Content-Length", str(len(body)))
    if served.etag:
        handler.send_header("ETag", served.etag)
    handler.end_headers()
    served.asked.set()
    if served.hold:
        served.hold.wait(30)
    if served.cut_after:
        body = body[: served.cut_after.pop(0)]
    handler.wfile.write(body)


def _start(handler: BaseHTTPRequestHandler, served: Served) -> int:
    """The first byte to send: 0 unless a range is asked for and may be given."""
    match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    stale = handler.headers.get("If-Range") not in (None, served.etag)
    return int(match[1]) if match and served.ranges and not stale else 0
