from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from detector.service.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[socket.socket, str]:
    """A datagram socket as systemd makes one, and its NOTIFY_SOCKET value."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    request.addfinalizer(server.close)  # noqa: PT021 - closes whatever kind was made
    server.settimeout(5)
    name = str(tmp_path / "n") if request.param == "path" else f"@detector-test-{os.getpid()}"
    server.bind("\0" + name[1:] if name.startswith("@") else name)
    return server, name


def test_each_state_arrives(systemd: tuple[socket.socket, str]) -> None:
    server, name = systemd
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000"})
    notifier.ready()
    notifier.status("all\nwell")
    notifier.watchdog()
    notifier.stopping()
    assert [server.recv(100) for _ in range(4)] == [b"READY=1", b"STATUS=all well", b"WATCHDOG=1", b"STOPPING=1"]
    assert notifier.watchdog_s == 30.0


def test_without_systemd_it_is_silent() -> None:
    notifier = Notifier({})
    notifier.ready()
    notifier.watchdog()
    assert notifier.watchdog_s is None


def test_a_watchdog_meant_for_another_process_or_nonsense_is_none() -> None:
    assert Notifier({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_s is None
    assert Notifier({"WATCHDOG_USEC": "soon"}).watchdog_s is None
    assert Notifier({"WATCHDOG_USEC": "0"}).watchdog_s is None


def test_a_supervisor_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
