from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse

import cv2
import numpy as np
import pytest

from detector.api import server
from detector.api.pictures import MAX_FPS
from detector.api.stream import MAX_STREAMS
from support.api import RunningApi, StartApi
from support.control import MemoryControl

Stalled = Callable[[float], tuple[RunningApi, socket.socket]]


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def open_stream(opened: RunningApi, query: str = "") -> tuple[HTTPConnection, HTTPResponse]:
    connection = opened.raw()
    connection.request("GET", f"/api/cameras/porch/stream.mjpg{query}")
    return connection, connection.getresponse()


def next_part(answer: HTTPResponse, boundary: bytes) -> tuple[int, bytes]:
    """The next part's frame number and JPEG, read strictly as RFC 2046 lays it out."""
    line = answer.readline()
    while line == b"\r\n":
        line = answer.readline()
    assert line == b"--" + boundary + b"\r\n"
    head = {}
    while (line := answer.readline()) != b"\r\n":
        name, _, value = line.decode().partition(":")
        head[name.lower()] = value.strip()
    assert head["content-type"] == "image/jpeg"
    return int(head["x-frame-seq"]), answer.read(int(head["content-length"]))


def boundary_of(answer: HTTPResponse) -> bytes:
    kind, _, boundary = (answer.getheader("Content-Type") or "").partition("; boundary=")
    assert kind == "multipart/x-mixed-replace"
    return boundary.encode()


def test_the_stream_is_a_row_of_new_pictures(window: StartApi) -> None:
    opened = window()
    connection, answer = open_stream(opened, "?width=320")
    boundary = boundary_of(answer)
    parts = [next_part(answer, boundary) for _ in range(4)]
    numbers = [number for number, _ in parts]
    assert numbers == sorted(set(numbers))
    for _, jpeg in parts:
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == (180, 320, 3)
    connection.close()


def test_opencv_plays_it(window: StartApi) -> None:
    capture = cv2.VideoCapture(f"{window().server.url}api/cameras/porch/stream.mjpg", cv2.CAP_FFMPEG)
    assert all(capture.read()[0] for _ in range(3))
    capture.release()


def test_a_picture_that_stands_is_sent_once(window: StartApi) -> None:
    opened = window()
    opened.control.frozen = True
    connection, answer = open_stream(opened)
    boundary = boundary_of(answer)
    next_part(answer, boundary)
    looked, encoded = opened.control.looked, opened.control.encoded
    until(lambda: opened.control.looked >= looked + 5, "the stream no longer looks for pictures")
    assert opened.control.encoded == encoded, "the same frame was encoded again"
    opened.control.frozen = False
    opened.control.seq = 900
    # The very next part is the new picture: none came between.
    number, _ = next_part(answer, boundary)
    assert number > 900
    connection.close()


def test_many_viewers_of_one_kind_of_picture_cost_what_one_does(window: StartApi) -> None:
    opened = window()
    viewers = [open_stream(opened, "?width=320") for _ in range(10)]
    boundary = boundary_of(viewers[0][1])
    for _, answer in viewers:
        next_part(answer, boundary)
    begun, encoded = time.monotonic(), opened.control.encoded
    newest = [[next_part(answer, boundary)[0] for _ in range(10)] for _, answer in viewers]
    took = time.monotonic() - begun
    assert opened.control.encoded - encoded <= MAX_FPS * took + 2
    for numbers in newest:
        assert numbers == sorted(set(numbers))
    for connection, answer in viewers:
        connection.close()
        answer.close()
    until(lambda: opened.app.state.streams.open == 0, "the streams outlived their viewers")
    assert opened.app.state.streams._feeds == {}


def test_a_stream_ends_when_its_viewer_goes(window: StartApi) -> None:
    opened = window()
    streams = opened.app.state.streams
    connection, answer = open_stream(opened)
    answer.read(10)
    assert streams.open == 1
    connection.close()
    answer.close()
    until(lambda: streams.open == 0, "the stream outlived its viewer")
    encoded = opened.control.encoded
    time.sleep(0.3)  # three pictures' time, in which none may be made
    assert opened.control.encoded == encoded


def test_one_viewer_too_many_is_told_so_and_the_rest_works(window: StartApi) -> None:
    opened = window()
    viewers = [open_stream(opened) for _ in range(MAX_STREAMS)]
    for _, answer in viewers:
        answer.read(10)
    refused, answer = open_stream(opened)
    assert answer.status == 503
    assert str(MAX_STREAMS) in answer.read().decode()
    refused.close()
    assert opened.client.get("/healthz").status_code == 200
    assert opened.client.get("/api/cameras/porch/latest.jpg").status_code == 200
    for connection, answer in viewers:
        connection.close()
        answer.close()
    until(lambda: opened.app.state.streams.open == 0, "the streams outlived their viewers")
    again, answer = open_stream(opened)
    assert answer.status == 200
    answer.close()
    again.close()


class Blocked(MemoryControl):
    """A camera whose picture takes as long as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def latest_jpeg(self, camera: str, *, boxes: bool, max_width: int | None) -> tuple[int, bytes] | None:
        assert self.go.wait(20)
        return super().latest_jpeg(camera, boxes=boxes, max_width=max_width)


def test_a_slow_encoding_blocks_nobody(window: StartApi) -> None:
    control = Blocked()
    opened = window(control=control)
    answers: list[int] = []
    viewer = threading.Thread(
        target=lambda: answers.append(opened.client.get("/api/cameras/porch/latest.jpg").status_code)
    )
    viewer.start()
    other = opened.raw()
    other.request("GET", "/healthz")
    assert other.getresponse().status == 200
    assert not answers
    control.go.set()
    viewer.join(20)
    assert answers == [200]
    other.close()


class Noisy(MemoryControl):
    """A camera whose pictures are large: noise does not compress."""

    def __init__(self) -> None:
        super().__init__()
        noise = np.random.default_rng(1).integers(0, 255, (1080, 1920, 3), np.uint8)
        self.jpeg = cv2.imencode(".jpg", noise)[1].tobytes()

    def latest_jpeg(self, camera: str, *, boxes: bool, max_width: int | None) -> tuple[int, bytes] | None:
        self.seq += 1
        return self.seq, self.jpeg


@pytest.fixture
def stalled(window: StartApi, monkeypatch: pytest.MonkeyPatch) -> Stalled:
    """A window and a viewer that asked for a stream and then stopped reading, the server's buffers full."""

    def make(write_s: float) -> tuple[RunningApi, socket.socket]:
        monkeypatch.setattr(server, "WRITE_S", write_s)
        control = Noisy()
        opened = window(control=control)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect(opened.address)
        sock.sendall(b"GET /api/cameras/porch/stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sock.recv(100)
        return opened, sock

    return make


def test_a_viewer_that_stops_reading_is_dropped(stalled: Stalled) -> None:
    opened, sock = stalled(0.3)
    assert opened.client.get("/healthz").status_code == 200
    until(lambda: opened.app.state.streams.open == 0, "a viewer that reads nothing keeps its stream")
    sock.close()


def test_a_viewer_that_paused_goes_on_with_new_pictures(stalled: Stalled) -> None:
    opened, sock = stalled(600)
    control = opened.control
    quiet = control.seq

    def stands() -> bool:
        nonlocal quiet
        before, quiet = quiet, control.seq
        return before == quiet

    deadline = time.monotonic() + 20
    while not stands():
        assert time.monotonic() < deadline, "pictures are made for a viewer that takes none"
        time.sleep(0.3)
    held, seen = control.seq, b""
    while f"X-Frame-Seq: {held + 3}\r\n".encode() not in seen:
        seen = seen[-100:] + sock.recv(1 << 20)
    sock.close()


def test_a_stream_ends_in_good_order_when_the_server_stops(window: StartApi, caplog: pytest.LogCaptureFixture) -> None:
    opened = window()
    connection, answer = open_stream(opened)
    answer.read(10)
    opened.stop.set()
    answer.read()  # raises IncompleteRead where the last chunk is missing
    opened.thread.join(20)
    assert not caplog.records
    answer.close()
    connection.close()


def test_the_server_stops_in_spite_of_viewers(stalled: Stalled) -> None:
    opened, sock = stalled(600)
    connection, answer = open_stream(opened)
    answer.read(10)
    began = time.monotonic()
    opened.stop.set()
    opened.thread.join(20)
    assert not opened.thread.is_alive()
    assert time.monotonic() - began < 10, "about two seconds are the aim"
    connection.close()
    answer.close()
    sock.close()
