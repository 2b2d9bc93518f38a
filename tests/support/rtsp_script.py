"""A small real RTSP camera for tests, whose every word is the test's to choose.

    with RtspScript(play) as camera:      # play(connection) is called for each connection
        camera.url                        # rtsp://cam:p%40s%2Fs%3Aw@127.0.0.1:PORT/live
        camera.requests                   # what was asked so far, all connections together

`serve` is a plain camera in one call: it answers a client up to PLAY, then sends the packets given.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .rtsp_video import interleaved

if TYPE_CHECKING:
    from typing_extensions import Self

USER, PASSWORD = "cam", "p@s/s:w"
_WAIT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RtspRequest:
    method: str
    url: str
    headers: Mapping[str, str]


class ScriptedConnection:
    def __init__(self, connection: socket.socket, camera: RtspScript) -> None:
        self.socket, self._camera = connection, camera
        self._rest = b""
        self._sending = threading.Lock()  # pictures may come from another thread than answers

    def ask(self) -> RtspRequest:
        """The client's next request; EOFError when it has gone."""
        while b"\r\n\r\n" not in self._rest:
            data = self.socket.recv(4096)
            if not data:
                raise EOFError
            self._rest += data
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        method, url, _ = lines[0].split(" ")
        pairs = (line.partition(": ") for line in lines[1:])
        request = RtspRequest(method=method, url=url, headers={name: value for name, _, value in pairs})
        self._camera.requests.append(request)
        return request

    def reply(
        self, request: RtspRequest, status: str = "200 OK", headers: Iterable[tuple[str, str]] = (), body: str = ""
    ) -> None:
        self.send(response(request, status, headers, body))

    def send(self, data: bytes) -> None:
        with self._sending:
            self.socket.sendall(data)

    def hang_up(self) -> None:
        """End the connection, from any thread."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


def response(request: RtspRequest, status: str, headers: Iterable[tuple[str, str]] = (), body: str = "") -> bytes:
    lines = [f"RTSP/1.0 {status}", f"CSeq: {request.headers['CSeq']}"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += [f"Content-Length: {len(body.encode())}"] if body else []
    return ("\r\n".join([*lines, "", ""]) + body).encode()


def greet(
    connection: ScriptedConnection, sdp: str, **replies: Callable[[ScriptedConnection, RtspRequest], bool]
) -> RtspRequest:
    """Answer up to PLAY, whose request is given back unanswered. `replies` by method: True if it has answered."""
    while True:
        request = connection.ask()
        if request.method in replies and replies[request.method](connection, request):
            continue
        if request.method == "PLAY":
            return request
        if request.method == "OPTIONS":
            connection.reply(request, headers=[("Public", "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN")])
        elif request.method == "DESCRIBE":
            connection.reply(request, headers=[("Content-Type", "application/sdp")], body=sdp)
        elif request.method == "SETUP":
            transport = request.headers["Transport"]
            connection.reply(request, headers=[("Transport", transport), ("Session", "abc;timeout=60")])
        else:
            connection.reply(request)


def serve(
    sdp: str,
    packets: Iterable[bytes],
    sent: threading.Event | None = None,
    /,
    **replies: Callable[[ScriptedConnection, RtspRequest], bool],
) -> Callable[[ScriptedConnection], None]:
    """A camera that plays `packets` at once, then waits until the client goes; with `sent`, set then, hangs up."""

    def play(connection: ScriptedConnection) -> None:
        connection.reply(greet(connection, sdp, **replies))
        connection.send(b"".join(interleaved(packet) for packet in packets))
        if sent is not None:
            connection.socket.shutdown(socket.SHUT_WR)
            sent.set()
        while True:
            connection.reply(connection.ask())

    return play


class RtspScript:
    """Serves one connection after the other; what went wrong in `play` comes out at the end."""

    def __init__(
        self, play: Callable[[ScriptedConnection], None], *, certificate: tuple[Path, Path] | None = None
    ) -> None:
        self._play = play
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)
        self.requests: list[RtspRequest] = []
        self._failures: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._current: socket.socket | None = None
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="rtsp-script")

    @property
    def url(self) -> str:
        scheme = "rtsps" if self._tls else "rtsp"
        return f"{scheme}://cam:p%40s%2Fs%3Aw@127.0.0.1:{self.port}/live"

    def methods(self) -> list[str]:
        return [request.method for request in self.requests]

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
        assert not self._thread.is_alive(), "the script did not end"
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
                self._talk(accepted)
                with self._lock:
                    self._current = None

    def _talk(self, accepted: socket.socket) -> None:
        accepted.settimeout(_WAIT_S)
        try:
            if self._tls is None:
                self._play(ScriptedConnection(accepted, self))
                return
            with self._tls.wrap_socket(accepted, server_side=True) as secured:
                self._play(ScriptedConnection(secured, self))
        except (OSError, EOFError):
            pass  # the client went, or the test is over
        except Exception as exc:  # raised again in the test's own thread
            self._failures.append(exc)
