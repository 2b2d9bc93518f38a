"""systemd's notify protocol (sd_notify(3)): ready, status, watchdog, stopping. Silent without systemd."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Sends state to the datagram socket that systemd names in NOTIFY_SOCKET."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the abstract namespace, spelt with a NUL on the wire.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = _watchdog_seconds(environment)

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            try:
                channel.connect(self._address)
                channel.sendall(state.encode())
            except OSError:
                return  # the supervisor going away must not take the service with it

    def ready(self) -> None:
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("STATUS=" + text.replace("\n", " "))

    def watchdog(self) -> None:
        """Tell that all is well; not called means restart."""
        if self.watchdog_s is not None:
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """The interval within which systemd wants to hear, in s; None where it does not ask this process."""
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", ""))
        process = int(environment.get("WATCHDOG_PID", str(os.getpid())))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 and process == os.getpid() else None
