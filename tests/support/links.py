"""Links to brokers, and one that knows MQTT 3.1.1 alone."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
from collections.abc import Callable

from detector.mqtt.client import MqttClient, MqttSettings
from support.messages import WILL
from support.mosquitto import DEADLINE, Mosquitto, wait_until

MakeBroker = Callable[..., Mosquitto]


FAST_S = 0.2  # the longest pause between two attempts, in tests


def settings(port: int, **changes: object) -> MqttSettings:
    return dataclasses.replace(MqttSettings(host="127.0.0.1", port=port, client_id="detector-t"), **changes)  # type: ignore[arg-type]


def make_link(port: int, **options: object) -> MqttClient:
    known = {"settings": settings(port), "will": WILL, "max_delay_s": FAST_S}
    return MqttClient(**(known | options))  # type: ignore[arg-type]


def connected(link: MqttClient) -> None:
    wait_until(lambda: link.status().state == "connected", f"not connected: {link.status()}")


class OldBroker:
    """Speaks MQTT 3.1.1 as far as CONNACK; to a greeting in MQTT 5 it says `answer` and hangs up."""

    def __init__(self, answer: bytes) -> None:
        self.levels: list[int] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])

    def run(self, stop: threading.Event) -> None:
        self._listener.settimeout(0.05)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                client.settimeout(DEADLINE)
                self.levels.append(client.recv(1024)[8])  # fixed header 2, "MQTT" with its length 6
                if self.levels[-1] == 4:
                    client.sendall(b"\x20\x02\x00\x00")
                    self._open.append(client)
                else:
                    client.sendall(self._answer)
                    client.close()
        self.hang_up()
        self._listener.close()

    def say(self, packet: bytes) -> None:
        for client in self._open:
            client.sendall(packet)

    def hang_up(self) -> None:
        while self._open:
            self._open.pop().close()
