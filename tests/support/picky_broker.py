"""A broker that ends the connection, without a word, at what it does not like: as some do by MQTT 3.1.1, some always."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from detector.mqtt.broker import packets
from detector.mqtt.broker.packets import MqttPacket, PacketKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A PUBLISH that it took: `session` counts connections from 1, `at` is monotonic s."""

    topic: str
    payload: bytes
    session: int
    at: float


@dataclass(slots=True, kw_only=True)
class Dislikes:
    """What ends a connection, and whether publishes are acknowledged."""

    larger_than: int | None = None  # bytes of a PUBLISH
    topic: Callable[[str], bool] = lambda _topic: False
    subscription: Callable[[str], bool] = lambda _filter: False
    acknowledges: bool = True
    takes: int | None = None  # publishes a connection, then it ends


@dataclass(slots=True)
class PickyBroker:
    """`run` in a thread; speaks MQTT 5 or 3.1.1, as it is greeted, as far as a publisher needs it. `port` 0: any."""

    dislikes: Dislikes
    taken: list[Taken] = field(default_factory=list)
    subscribed: list[str] = field(default_factory=list)
    sessions: int = 0
    port: int = 0
    retained: dict[str, bytes] = field(default_factory=dict)
    _cuts: int = 0
    _listener: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.settimeout(0.05)
        self.port = int(self._listener.getsockname()[1])

    def change_mind(self, dislikes: Dislikes) -> None:
        """Other rules from now on; ends the connections that there are."""
        self.dislikes = dislikes
        self._cuts += 1

    def topics(self) -> list[str]:
        return [one.topic for one in list(self.taken)]

    def run(self, stop: threading.Event) -> None:
        threads: list[threading.Thread] = []
        while not stop.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.sessions += 1
            threads.append(threading.Thread(target=self._serve, args=(client, self.sessions, stop)))
            threads[-1].start()
        self._listener.close()
        for thread in threads:
            thread.join(10)

    def _serve(self, client: socket.socket, session: int, stop: threading.Event) -> None:
        buffer, level, count = bytearray(), 4, 0
        client.settimeout(0.05)
        cuts = self._cuts
        with client:
            while not stop.is_set() and cuts == self._cuts:
                try:
                    data = client.recv(1 << 16)
                except TimeoutError:
                    continue
                except OSError:
                    return
                if not data:
                    return
                buffer += data
                while (packet := packets.cut(buffer, 1 << 30)) is not None:
                    if packet.kind is PacketKind.CONNECT:
                        level = packet.body[6]
                    count += packet.kind is PacketKind.PUBLISH
                    if self.dislikes.takes is not None and count > self.dislikes.takes:
                        return
                    if not self._answer(client, packet, session, level):
                        return

    def _answer(self, client: socket.socket, packet: MqttPacket, session: int, level: int) -> bool:
        """False: it did not like that."""
        five = level == 5
        if packet.kind is PacketKind.CONNECT:
            client.sendall(b"\x20\x03\x00\x00\x00" if five else b"\x20\x02\x00\x00")
        elif packet.kind is PacketKind.PUBLISH:
            return self._publish(client, packet, session, five=five)
        elif packet.kind is PacketKind.SUBSCRIBE:
            return self._subscribe(client, packet.body, five=five)
        elif packet.kind is PacketKind.UNSUBSCRIBE:
            client.sendall(b"\xb0\x04" + packet.body[:2] + b"\x00\x00" if five else b"\xb0\x02" + packet.body[:2])
        elif packet.kind is PacketKind.PINGREQ:
            client.sendall(b"\xd0\x00")
        return True

    def _publish(self, client: socket.socket, packet: MqttPacket, session: int, *, five: bool) -> bool:
        body, dislikes = packet.body, self.dislikes
        (length,) = struct.unpack_from("!H", body)
        topic, rest = body[2 : 2 + length].decode(), body[2 + length :]
        if dislikes.topic(topic) or (dislikes.larger_than is not None and len(body) > dislikes.larger_than):
            return False
        mid = b""
        if packet.flags & 0x06:
            mid, rest = rest[:2], rest[2:]
        payload = rest[1 + rest[0] :] if five else rest
        self.taken.append(Taken(topic=topic, payload=bytes(payload), session=session, at=time.monotonic()))
        if packet.flags & 0x01:
            self.retained[topic] = bytes(payload)
        if mid and dislikes.acknowledges:
            client.sendall(b"\x40\x02" + mid)
        return True

    def _subscribe(self, client: socket.socket, body: bytes, *, five: bool) -> bool:
        at = 2 + (1 + body[2] if five else 0)
        filters: list[str] = []
        while at < len(body):
            (length,) = struct.unpack_from("!H", body, at)
            filters.append(body[at + 2 : at + 2 + length].decode())
            at += 2 + length + 1
        if any(self.dislikes.subscription(one) for one in filters):
            return False
        self.subscribed += filters
        answer = body[:2] + (b"\x00" if five else b"") + b"\x01" * len(filters)
        client.sendall(bytes((0x90, len(answer))) + answer)
        for topic in filters:
            if topic in self.retained:
                name = struct.pack("!H", len(topic)) + topic.encode()
                said = name + (b"\x00" if five else b"") + self.retained[topic]
                client.sendall(b"\x31" + _length(len(said)) + said)
        return True


def _length(value: int) -> bytes:
    """MQTT's variable byte integer."""
    made = bytearray()
    while True:
        value, digit = divmod(value, 128)
        made.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(made)
