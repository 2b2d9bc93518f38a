from __future__ import annotations

import hashlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from detector.capture.http_stream import HttpStream
from detector.capture.network import NetworkSource
from detector.core.errors import SourceError
from support.mjpeg_server import stamped_jpeg

Answer = Callable[[BaseHTTPRequestHandler], None]


class AnsweringServer:
    """An HTTP server whose answers a test writes; `asked` are the paths that were asked for."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {}
        camera = self

        class CameraRequests(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                camera.asked.append(self.path)
                camera.answers.get(self.path, plain)(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), CameraRequests)
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def plain(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"hello")


def redirect(location: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.end_headers()

    return answer


@pytest.fixture
def camera() -> Iterator[AnsweringServer]:
    made = AnsweringServer()
    yield made
    made.close()


def stream(url: str, resolve: Callable[[str, int], list[str]] | None = None, *, timeout_s: float = 2.0) -> HttpStream:
    def unexpected(host: str, _port: int) -> list[str]:
        pytest.fail(f"{host} was looked up")

    return HttpStream(url=url, shown="http://shown/", timeout_s=timeout_s, resolve=resolve or unexpected)


def test_a_spelled_address_is_read_without_a_look_up(camera: AnsweringServer) -> None:
    source = stream(f"http://127.0.0.1:{camera.port}/x?y=1")
    source.open()
    assert (source.read(), source.read()) == (b"hello", b"")
    source.close()
    assert camera.asked == ["/x?y=1"]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "169.254.169.254", "fe80::1%lo", "::ffff:127.0.0.1", "0.0.0.0", "224.0.0.1", "2002:7f00:1::"],
)
def test_a_name_that_is_looked_up_as_this_machine_is_refused(camera: AnsweringServer, address: str) -> None:
    source = stream(f"http://cam.example:{camera.port}/x", lambda _host, _port: ["10.255.255.1", address])
    with pytest.raises(SourceError, match="this machine itself or link-local"):
        source.open()
    assert camera.asked == []


def test_a_name_is_judged_at_each_connection_anew(camera: AnsweringServer) -> None:
    answers = iter((["192.0.2.1"], ["127.0.0.1"]))
    source = stream(f"http://cam.example:{camera.port}/x", lambda _host, _port: next(answers), timeout_s=0.2)
    with pytest.raises(SourceError, match="http://shown/"):
        source.open()
    with pytest.raises(SourceError, match="this machine itself"):
        source.open()
    assert camera.asked == []


@pytest.mark.parametrize(
    "location",
    ["http://localhost:{port}/x", "http://2130706433:{port}/x", "http://[::ffff:127.0.0.1]:{port}/x", "//0:{port}/x",
     "http://169.254.169.254/latest", "http://evil.example:{port}/x", "http://u:p@127.1:{port}/x"],
)  # fmt: skip
def test_a_redirect_leads_to_no_other_address_of_this_machine(camera: AnsweringServer, location: str) -> None:
    camera.answers["/first"] = redirect(location.format(port=camera.port))
    source = stream(f"http://127.0.0.1:{camera.port}/first", lambda _host, _port: ["127.0.0.1"])
    with pytest.raises(SourceError, match="this machine itself"):
        source.open()
    assert camera.asked == ["/first"]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "rtsp://127.0.0.1/x", "gopher://127.0.0.1/x"])
def test_a_redirect_to_another_kind_of_address_is_not_followed(camera: AnsweringServer, location: str) -> None:
    camera.answers["/first"] = redirect(location)
    with pytest.raises(SourceError, match="not an HTTP URL"):
        stream(f"http://127.0.0.1:{camera.port}/first").open()


def test_a_redirect_on_the_same_host_is_followed_and_keeps_the_user(camera: AnsweringServer) -> None:
    seen: list[str | None] = []

    def guarded(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers.get("Authorization"))
        if seen[-1] is None:
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="x"')
            handler.end_headers()
        else:
            plain(handler)

    camera.answers |= {"/first": redirect("second"), "/second": guarded}
    source = stream(f"http://cam:p%40w@127.0.0.1:{camera.port}/first")
    source.open()
    assert source.read() == b"hello"
    source.close()
    assert seen == [None, "Basic Y2FtOnBAdw=="]


def test_redirects_without_end_are_an_error(camera: AnsweringServer) -> None:
    camera.answers["/first"] = redirect("/first")
    with pytest.raises(SourceError, match="redirects without end"):
        stream(f"http://127.0.0.1:{camera.port}/first").open()


def test_a_digest_challenge_is_answered(camera: AnsweringServer) -> None:
    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    def guarded(handler: BaseHTTPRequestHandler) -> None:
        given = dict(re.findall(r'(\w+)="?([^",]+)"?', handler.headers.get("Authorization", "")))
        right = md5(f"{md5('cam:cam-realm:p#w')}:n1:{given.get('nc')}:{given.get('cnonce')}:auth:{md5('GET:/v?a=1')}")
        if given.get("response") == right:
            plain(handler)
            return
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", 'Digest realm="cam-realm", nonce="n1", qop="auth"')
        handler.end_headers()

    camera.answers["/v?a=1"] = guarded
    source = stream(f"http://cam:p#w@127.0.0.1:{camera.port}/v?a=1")
    source.open()
    assert source.read() == b"hello"
    source.close()
    wrong = NetworkSource(url=f"http://cam:no@127.0.0.1:{camera.port}/v?a=1", timeout_s=2.0)
    with pytest.raises(SourceError, match="401"):
        wrong.open()


@pytest.mark.parametrize("first", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n", b""])
def test_one_byte_at_a_time_does_not_stretch_the_time_out(first: bytes) -> None:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            peer = server.accept()[0]
            with peer:
                peer.sendall(first)
                while not over.wait(0.05):
                    try:
                        peer.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        source = NetworkSource(url=f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_s=0.5)
        began = time.monotonic()
        with pytest.raises(SourceError, match="no answer within"):
            source.open()
        assert time.monotonic() - began < 2.0
        over.set()
        thread.join()


def test_a_playlist_makes_nothing_else_be_opened(camera: AnsweringServer) -> None:
    def playlist(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/vnd.apple.mpegurl")
        handler.end_headers()
        inner = f"http://127.0.0.1:{camera.port}/inner.ts"
        handler.wfile.write(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{inner}\n#EXT-X-ENDLIST\n".encode())

    camera.answers["/list.m3u8"] = playlist
    source = NetworkSource(url=f"http://127.0.0.1:{camera.port}/list.m3u8", timeout_s=2.0)
    with pytest.raises(SourceError):
        source.open()
    assert camera.asked == ["/list.m3u8"]


def test_a_chunked_stream_is_read(camera: AnsweringServer) -> None:
    def chunked(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        jpeg = stamped_jpeg(320, 240)
        part = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg)
        for _ in range(8):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        handler.wfile.write(b"0\r\n\r\n")

    camera.answers["/v"] = chunked
    source = NetworkSource(url=f"http://127.0.0.1:{camera.port}/v", timeout_s=2.0)
    source.open()
    assert source.read().image.width == 320
    source.close()


def test_a_camera_behind_tls_is_read_whatever_its_certificate(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=camera -days 2 -keyout k -out c"
    subprocess.run(make.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c", tmp_path / "k")
    secure = AnsweringServer(context)
    try:
        source = stream(f"https://127.0.0.1:{secure.port}/x")
        source.open()
        assert source.read() == b"hello"
        source.close()
    finally:
        secure.close()
