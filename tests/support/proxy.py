"""A reverse proxy as people write them: it serves another server under a prefix, and pages of its own beside it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_NOT_FORWARDED = {"connection", "keep-alive", "transfer-encoding"}
_FORWARDED = {"do_GET", "do_HEAD", "do_POST", "do_PUT", "do_DELETE"}


@dataclass(frozen=True, kw_only=True)
class ProxyRules:
    """`strip`: remove `prefix`; `added`: headers that are sent along; `pages`: HTML of the proxy's own, by path."""

    port: int
    prefix: str = ""
    strip: bool = True
    added: Mapping[str, str] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)


class _ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # the end of the connection ends the answer: streams need no length

    def __init__(self, rules: ProxyRules, *given: Any) -> None:
        self._rules = rules
        super().__init__(*given)

    def __getattr__(self, name: str) -> Any:
        if name in _FORWARDED:
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        rules = self._rules
        if self.path in rules.pages:
            self._answer(200, {"Content-Type": "text/html"}, rules.pages[self.path].encode())
        elif not self.path.startswith(f"{rules.prefix}/"):
            self._answer(404, {}, b"")
        else:
            self._forward(self.path[len(rules.prefix) :] if rules.strip else self.path)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _NOT_FORWARDED:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _forward(self, path: str) -> None:
        upstream = HTTPConnection("127.0.0.1", self._rules.port, timeout=20)
        with contextlib.closing(upstream), contextlib.suppress(OSError, HTTPException):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given = {k: v for k, v in self.headers.items() if k.lower() not in _NOT_FORWARDED}
            upstream.request(self.command, path, body, {**given, **self._rules.added})
            answer = upstream.getresponse()
            self._answer(answer.status, dict(answer.getheaders()), b"")
            while chunk := answer.read1(65536):
                self.wfile.write(chunk)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def proxy(port: int, prefix: str = "", **rules: Any) -> Iterator[int]:
    """The proxy's port on the loopback while it forwards to `port` there; `rules`: see ProxyRules."""
    handler = partial(_ProxyHandler, ProxyRules(port=port, prefix=prefix, **rules))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="proxy")
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
