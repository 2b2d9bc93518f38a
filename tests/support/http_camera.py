"""A small real HTTP camera for tests, whose every byte is the test's to choose.

with HttpCamera(respond) as camera:   # respond(request) sends the answer to each request
    camera.url                        # http://cam:p%40s%2Fs%3Aw@127.0.0.1:PORT/video
    camera.requests                   # what was asked so far, all connections together
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .stamped import bars

if TYPE_CHECKING:
    from typing_extensions import Self

PASSWORD = "p@s/s:w"
_WAIT_S = 20.0


def numbered_jpeg(number: int, *, width: int = 320, height: int = 240, thumbnail: bool = False) -> bytes:
    """A picture that carries `number` (see `stamped`); with a `thumbnail`, a whole small JPEG stands in its EXIF."""
    pixels = np.frombuffer(bars(width, height, number), np.uint8).reshape(height, width)
    data = bytes(cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR))[1])
    if not thumbnail:
        return data
    small = b"Exif\x00\x00" + numbered_jpeg(1, width=64, height=48)
    return data[:2] + b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small + data[2:]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    path: str
    headers: Mapping[str, str]
    connection: int
    """The number of the connection that it came over, from 0."""
    socket: socket.socket = field(repr=False)

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def answer(self, status: str, *headers: str, body: bytes = b"") -> None:
        """A whole answer, its length told."""
        lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
        self.send("\r\n".join(lines).encode(), body)


class HttpCamera:
    """Serves one connection after the other, each for as many requests as the client sends over it."""

    def __init__(self, respond: Callable[[HttpRequest], None], *, certificate: tuple[Path, Path] | None = None) -> None:
        self._respond = respond
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)
        self.requests: list[HttpRequest] = []
        self.connections = 0
        self._failures: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._current: socket.socket | None = None
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="http-camera")

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://cam:p%40s%2Fs%3Aw@127.0.0.1:{self.port}/video"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closing = True
            if self._current is not None:
                with contextlib.suppress(OSError):
                    self._current.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1.0):
            pass  # wakes accept
        self._thread.join(_WAIT_S)
        self._listener.close()
        assert not self._thread.is_alive(), "the camera did not end"
        if self._failures:
            raise self._failures[0]

    def _run(self) -> None:
        while True:
            accepted, _ = self._listener.accept()
            with accepted:
                with self._lock:
                    if self._closing:
                        return
                    self._current = accepted
                accepted.settimeout(_WAIT_S)
                try:
                    if self._tls is None:
                        self._talk(accepted)
                    else:
                        with self._tls.wrap_socket(accepted, server_side=True) as secured:
                            self._talk(secured)
                except OSError:
                    pass  # the client went, or the test is over
                except Exception as exc:  # raised again in the test's own thread
                    self._failures.append(exc)
                self.connections += 1
                with self._lock:
                    self._current = None

    def _talk(self, accepted: socket.socket) -> None:
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                data = accepted.recv(4096)
                if not data:
                    return
                rest += data
            head, _, rest = rest.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            pairs = (line.partition(": ") for line in lines[1:])
            request = HttpRequest(
                path=lines[0].split(" ")[1],
                headers={name: value for name, _, value in pairs},
                connection=self.connections,
                socket=accepted,
            )
            self.requests.append(request)
            self._respond(request)
