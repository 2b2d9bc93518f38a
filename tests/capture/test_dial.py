"""A connection to a camera that is off, comes back, or says no."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from detector.capture import dial
from detector.capture.dial import look_up, open_socket


def left_of(seconds: float) -> Callable[[], float]:
    deadline = time.monotonic() + seconds

    def left_s() -> float:
        left = deadline - time.monotonic()
        if left <= 0.0:
            raise TimeoutError
        return left

    return left_s


def test_the_first_address_that_accepts_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
        with open_socket(["127.0.0.2", "127.0.0.1"], port, left_s=left_of(5.0)) as connection:
            assert connection.getpeername() == ("127.0.0.1", port)


def test_refused_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        open_socket(["127.0.0.1"], port, left_s=left_of(5.0))
    assert time.monotonic() - started < 1.0


def test_no_answer_is_tried_again_until_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener whose queue is full answers no SYN; once it has room again, the next attempt is in."""
    monkeypatch.setattr(dial, "_ATTEMPT_S", 0.3)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        port = busy.getsockname()[1]
        waiting = [socket.create_connection(("127.0.0.1", port), timeout=5.0)]
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            open_socket(["127.0.0.1"], port, left_s=left_of(1.0))
        assert 0.9 < time.monotonic() - started < 3.0
        busy.accept()[0].close()
        open_socket(["127.0.0.1"], port, left_s=left_of(5.0)).close()
        for connection in waiting:
            connection.close()


def test_an_unknown_host_is_an_error_without_the_network() -> None:
    with pytest.raises(OSError, match="unknown"):
        look_up("x" * 70, 80)
