"""A client that says exactly what a test wants, over a real socket."""

from __future__ import annotations

import socket
import struct

from detector.mqtt.broker import packets
from detector.mqtt.broker.packets import MqttPacket, PacketKind

from .mosquitto import DEADLINE

LIMIT = 1 << 30


def text(value: str) -> bytes:
    return struct.pack("!H", len(value.encode())) + value.encode()


def request(first: int, body: bytes) -> bytes:
    """A packet of less than 128 bytes."""
    return bytes((first, len(body))) + body


def greeting(
    client_id: str, *, clean: bool = True, keepalive_s: int = 60, will: tuple[str, str] | None = None
) -> bytes:
    flags = (0x02 if clean else 0) | (0x0C if will else 0)
    body = text("MQTT") + bytes((packets.LEVEL, flags)) + struct.pack("!H", keepalive_s) + text(client_id)
    return request(0x10, body + (text(will[0]) + text(will[1]) if will else b""))


def subscription(pattern: str, qos: int = 1) -> bytes:
    return request(0x82, b"\x00\x01" + text(pattern) + bytes((qos,)))


class RawMqtt:
    """`say` bytes, `hear` the next packet."""

    def __init__(self, port: int, hello: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self._buffer = bytearray()
        if hello:
            self.say(hello)
            assert self.hear().kind is PacketKind.CONNACK

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def hear(self) -> MqttPacket:
        while (packet := packets.cut(self._buffer, LIMIT)) is None:
            data = self.socket.recv(1 << 16)
            assert data, "the broker hung up"
            self._buffer += data
        return packet

    def ended(self) -> bool:
        """Waits for the broker to hang up; what it still says is not read."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        self.socket.close()
        return True

    def close(self) -> None:
        self.socket.close()
