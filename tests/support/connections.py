"""A client's end of a session that writes down what it is sent."""

from __future__ import annotations

from detector.core.types import Message
from detector.mqtt.broker import packets
from detector.mqtt.broker.packets import PacketKind, Publish

LIMIT = 1 << 30


class RecordedConnection:
    """A `Wire`: `clogged` as the test says; `messages` as a client would read them."""

    def __init__(self) -> None:
        self.clogged = False
        self.ended: list[str] = []
        self._buffer = bytearray()
        self._packets: list[packets.MqttPacket] = []

    def write(self, data: bytes) -> None:
        self._buffer += data

    def evict(self, why: str) -> None:
        self.ended.append(why)

    @property
    def kinds(self) -> list[PacketKind]:
        while (packet := packets.cut(self._buffer, LIMIT)) is not None:
            self._packets.append(packet)
        return [packet.kind for packet in self._packets]

    @property
    def publishes(self) -> list[Publish]:
        assert self.kinds is not None
        return [packets.publish_of(packet) for packet in self._packets if packet.kind is PacketKind.PUBLISH]

    @property
    def messages(self) -> list[Message]:
        return [one.message for one in self.publishes]

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]
