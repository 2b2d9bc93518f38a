"""A real HTTP camera for tests: an endless multipart/x-mixed-replace of JPEG pictures.

    with MjpegServer(user="cam", password="pw") as server:
        server.url            # http://cam:pw@127.0.0.1:PORT/video
        server.stall.set()    # the connections stay, no more pictures
        server.size = (640, 360)
        server.hang_up()      # ends every running stream; new ones are welcome

Each picture carries the moment it was made (see `stamped`).
"""

from __future__ import annotations

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import cv2
import numpy as np

from .stamped import bars, now_ms

if TYPE_CHECKING:
    from typing_extensions import Self


def stamped_jpeg(width: int, height: int) -> bytes:
    pixels = np.frombuffer(bars(width, height, now_ms()), np.uint8).reshape(height, width)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR))
    return bytes(data)


class MjpegServer:
    """Serves /video; /text is a page that is no video, /broken answers 500, all else 404."""

    def __init__(
        self, *, width: int = 320, height: int = 240, fps: float = 20.0, user: str | None = None, password: str = ""
    ) -> None:
        self.size, self.interval_s = (width, height), 1.0 / fps
        self.user, self.password = user, password
        self.stall, self.closing = threading.Event(), threading.Event()
        self._hung_up = threading.Event()
        self._server: _MjpegServer | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    @property
    def url(self) -> str:
        info = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.user else ""
        return f"http://{info}127.0.0.1:{self.port}/video"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, after a `stop` on the same port again."""
        self.closing.clear()
        self._server = _MjpegServer(("127.0.0.1", self.port), self)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="mjpeg-server")
        self._thread.start()

    def stop(self) -> None:
        self.closing.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()  # joins the handlers' threads
            self._thread.join()
        self._server = None

    def hang_up(self) -> None:
        hung_up, self._hung_up = self._hung_up, threading.Event()
        hung_up.set()

    @property
    def hung_up(self) -> threading.Event:
        return self._hung_up


class _MjpegServer(ThreadingHTTPServer):
    daemon_threads = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], camera: MjpegServer) -> None:
        super().__init__(address, _Handler)
        self.camera = camera

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is everyday life."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        pass

    def do_GET(self) -> None:
        camera = cast("_MjpegServer", self.server).camera
        if camera.user and not self._authorised(camera):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
        elif self.path == "/video":
            self._stream(camera)
        elif self.path == "/text":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>This is not a video.</html>\n" * 100)
        else:
            self.send_error(500 if self.path == "/broken" else 404)

    def _authorised(self, camera: MjpegServer) -> bool:
        wanted = base64.b64encode(f"{camera.user}:{camera.password}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {wanted}"

    def _stream(self, camera: MjpegServer) -> None:
        hung_up = camera.hung_up
        self.connection.settimeout(2.0)  # a client that does not read must not hold up the test's end
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=picture")
        self.end_headers()
        while not camera.closing.is_set() and not hung_up.is_set():
            if not camera.stall.is_set():
                jpeg = stamped_jpeg(*camera.size)
                self.wfile.write(
                    b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg + b"\r\n"
                )
                self.wfile.flush()
            camera.closing.wait(camera.interval_s)
