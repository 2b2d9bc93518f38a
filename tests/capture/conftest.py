"""What the capture tests share: servers, a clock that stands still, and a look at open descriptors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.mjpeg_server import MjpegServer
from support.rtsp_server import RtspServer, why_not


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    """A running RTSP server with a user and an awkward password."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with RtspServer(user="cam", password="p@s/s:w") as server:
        yield server


@pytest.fixture
def mjpeg() -> Iterator[MjpegServer]:
    with MjpegServer(user="cam", password="p@ss") as server:
        yield server


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Wait, with a generous deadline, for a condition that another thread brings about."""

    def wait(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail("waited in vain")
            time.sleep(0.01)

    return wait


@pytest.fixture
def running() -> Iterator[Callable[[Callable[[], None], threading.Event], threading.Thread]]:
    """Run a loop in a thread; at the test's end its stop event is set and it is joined."""
    started: list[tuple[threading.Thread, threading.Event]] = []

    def start(target: Callable[[], None], stop: threading.Event) -> threading.Thread:
        thread = threading.Thread(target=target, name="camera-under-test")
        started.append((thread, stop))
        thread.start()
        return thread

    yield start
    for _, stop in started:
        stop.set()
    for thread, _ in started:
        thread.join(timeout=20.0)
        assert not thread.is_alive(), "the loop did not end after stop"


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def native_threads() -> int:
    """All threads of this process, those that libraries made included."""
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.fixture
def leaks() -> Callable[[], tuple[int, int]]:
    """(open descriptors, native threads) at this moment."""
    return lambda: (open_descriptors(), native_threads())
