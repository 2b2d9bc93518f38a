"""Cameras that flood, stall, corrupt, reset and come again hundreds of times: descriptors and threads stay as they were.

A short form of each runs with `make test`; the long one with `make fault`.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from detector.capture.camera import CameraLoop
from detector.capture.mjpeg.source import HttpSource
from detector.capture.rtsp.source import RtspSource
from detector.capture.source import Source
from support.cameras import States, loop_of
from support.http_camera import HttpCamera, HttpRequest, numbered_jpeg
from support.mid_gop import MidGop
from support.rtsp_script import RtspScript, ScriptedConnection, greet
from support.rtsp_video import coded, interleaved, rtp

VIDEO = coded(frames=10, gop=5, fps=1000, width=96, height=64)
STREAM = b"".join(interleaved(packet) for packets in VIDEO.packets() for packet in packets)
JPEG = numbered_jpeg(1, width=96, height=64)
TIMEOUT_S = 0.4
Fault = Callable[[ScriptedConnection], None]


def resources() -> tuple[int, int]:
    """Open descriptors and native threads of this process."""
    return len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/proc/self/task").iterdir()))


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def settles(before: tuple[int, int], *, seconds: float = 10.0) -> tuple[int, int]:
    """The resources once they are no more than `before`, or after `seconds`: a camera's own end closes a little later."""
    deadline = time.monotonic() + seconds
    while (now := resources()) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    return now


def flood(connection: ScriptedConnection) -> None:
    """Packets without a picture, as fast as they are taken."""
    for sequence in itertools.count():
        connection.send(interleaved(rtp(b"\x06" + bytes(1200), sequence=sequence, stamp=sequence, marker=True)) * 50)


def stall(connection: ScriptedConnection) -> None:
    connection.send(STREAM[: len(STREAM) // 2])
    connection.socket.recv(1 << 16)
    connection.socket.recv(1 << 16)


def corrupt(connection: ScriptedConnection) -> None:
    rng, made = random.Random(1), bytearray(STREAM)
    for _ in range(len(made) // 20):
        made[rng.randrange(len(made))] = rng.randrange(256)
    connection.send(bytes(made))


def random_bytes(connection: ScriptedConnection) -> None:
    connection.send(random.Random(2).randbytes(300_000))


def reset(connection: ScriptedConnection) -> None:
    connection.send(STREAM[:1000])
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def good(connection: ScriptedConnection) -> None:
    connection.send(STREAM)


FAULTS = [flood, stall, corrupt, random_bytes, reset, good]


def playing(faults: Iterator[Fault]) -> Callable[[ScriptedConnection], None]:
    def play(connection: ScriptedConnection) -> None:
        connection.reply(greet(connection, VIDEO.sdp()))
        next(faults)(connection)

    return play


@contextlib.contextmanager
def watched(make: Callable[[], Source]) -> Iterator[tuple[CameraLoop, States]]:
    """A camera loop in its thread, until the end of the block."""
    stop, states = threading.Event(), States()
    loop = loop_of(make, lambda _: None, stop, on_state=states.told)
    thread = threading.Thread(target=loop.run, name="camera-under-test")
    thread.start()
    try:
        yield loop, states
    finally:
        stop.set()
        thread.join(20.0)
        assert not thread.is_alive()


def reconnected(loop: CameraLoop, times: int, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while loop.stats().reconnects < times:
        assert time.monotonic() < deadline, f"{loop.stats().reconnects} of {times}: {loop.stats().error}"
        time.sleep(0.02)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_one_fault_again_and_again(fault: Fault) -> None:
    before, memory = resources(), rss_mb()
    with RtspScript(playing(itertools.repeat(fault))) as camera:
        with watched(lambda: RtspSource(url=camera.url, timeout_s=TIMEOUT_S)) as (loop, _):
            reconnected(loop, 2, seconds=30.0)
            stats = loop.stats()
        assert "unexpected" not in (stats.error or "")
    assert settles(before) <= before
    assert rss_mb() - memory < 100.0


@pytest.mark.parametrize("times", [30, pytest.param(500, marks=[pytest.mark.fault, pytest.mark.timeout(1200)])])
def test_reconnects_over_all_faults_leave_nothing_behind(times: int) -> None:
    order = random.Random(3)
    before = resources()
    faults: Iterator[Fault] = (fault for _ in itertools.count() for fault in order.sample(FAULTS[1:], len(FAULTS) - 1))
    with RtspScript(playing(faults)) as camera:
        with watched(lambda: RtspSource(url=camera.url, timeout_s=TIMEOUT_S)) as (loop, states):
            reconnected(loop, 5, seconds=60.0)  # what the libraries set up once and keep
            memory = rss_mb()
            reconnected(loop, times, seconds=2.0 * times)
        assert "online" in states.names
        assert not any("unexpected" in (reason or "") for _, reason in states)
        assert rss_mb() - memory < 60.0
    assert settles(before) <= before


@pytest.mark.parametrize("times", [30, pytest.param(500, marks=[pytest.mark.fault, pytest.mark.timeout(1200)])])
def test_http_reconnects_over_all_faults_leave_nothing_behind(times: int) -> None:
    part = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + JPEG + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
    bodies = itertools.cycle([part * 3, part[:200], random.Random(4).randbytes(100_000), b"", b"\xff\xd8\xff" * 10_000])

    def respond(request: HttpRequest) -> None:
        request.send(head, next(bodies))
        raise ConnectionResetError

    before = resources()
    with HttpCamera(respond) as camera:
        with watched(lambda: HttpSource(url=camera.url, timeout_s=TIMEOUT_S)) as (loop, states):
            reconnected(loop, times, seconds=2.0 * times)
        assert "online" in states.names
        assert not any("unexpected" in (reason or "") for _, reason in states)
    assert settles(before) <= before


@pytest.mark.fault
@pytest.mark.timeout(200)
@pytest.mark.parametrize("wait_s", [12.0, 60.0])
def test_r8_key_frames_12_and_60_seconds_apart_with_the_default_time_out(wait_s: float) -> None:
    long = coded(frames=10, gop=10, fps=25, width=96, height=64)
    play = MidGop(long, wait_s=wait_s)
    with RtspScript(play) as camera, watched(lambda: RtspSource(url=camera.url, timeout_s=5.0)) as (loop, _):
        deadline = time.monotonic() + wait_s + 10.0
        while loop.stats().frames == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (loop.stats().frames > 0, loop.stats().reconnects, play.played) == (True, 0, 1)
