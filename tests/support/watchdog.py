"""systemd's side of its watchdog: the datagram socket that a service feeds."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path


class Watchdog:
    """`env` is what systemd would set for a service with WatchdogSec=`interval_s`."""

    def __init__(self, folder: Path, *, interval_s: float = 30.0) -> None:
        self.interval_s = interval_s
        path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.env = {**os.environ, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": f"{interval_s * 1e6:.0f}"}

    def fed_within(self, seconds: float) -> bool:
        """Whether the service says from now on, within so many seconds, that all is well."""
        deadline = time.monotonic() + seconds
        self._drop()
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                if b"WATCHDOG=1" in self._socket.recv(4096).splitlines():
                    return True
            except TimeoutError:
                return False
        return False

    def wait_hungry(self, *, quiet_s: float = 3.0, deadline_s: float = 120.0) -> float:
        """Until nothing was heard for `quiet_s`; the seconds to the last word."""
        began = time.monotonic()
        while self.fed_within(quiet_s):
            assert time.monotonic() - began < deadline_s, "it is still fed"
        return time.monotonic() - began - quiet_s

    def _drop(self) -> None:
        self._socket.setblocking(False)
        while True:
            try:
                self._socket.recv(4096)
            except BlockingIOError:
                return

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Watchdog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
