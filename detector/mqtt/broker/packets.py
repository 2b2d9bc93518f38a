"""Packets of MQTT 3.1.1 as bytes: OASIS Standard, 29 October 2014; section numbers below are its own.

An alert waits for what is done here, mostly in cold caches: what it meets on its way is short, and made of tuples.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from detector.core.types import Message

LEVEL = 4  # the protocol level of 3.1.1
_MQTT_5 = 5
_VARIABLE = 4  # bytes that a length may take


class PacketKind(IntEnum):
    """Table 2.1."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class Answer(IntEnum):
    """To CONNECT, table 3.1."""

    ACCEPTED = 0
    LEVEL = 1
    CLIENT_ID = 2
    BUSY = 3
    CREDENTIALS = 4


REFUSED = 0x80  # a subscription, section 3.9.3
PONG = bytes((PacketKind.PINGRESP << 4, 0))
_KINDS = {kind.value: kind for kind in PacketKind}
# Fixed flags of requests, table 2.2; PUBLISH has its own.
_FLAGS = {PacketKind.PUBREL: 2, PacketKind.SUBSCRIBE: 2, PacketKind.UNSUBSCRIBE: 2}


class MalformedError(Exception):
    """A client sent what is not MQTT 3.1.1: its connection must end."""


class LevelError(Exception):
    """A client speaks another version; `answer` is to be sent before the connection ends."""

    def __init__(self, level: int) -> None:
        super().__init__(f"protocol level {level}")
        # MQTT 5 reads a return code of its own, 0x84, with no properties behind it.
        self.answer = b"\x20\x03\x00\x84\x00" if level == _MQTT_5 else connack(Answer.LEVEL)


class MqttPacket(NamedTuple):
    """As cut from the stream; `body` is what follows the fixed header."""

    kind: PacketKind
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """A client's greeting, section 3.1."""

    client_id: str
    clean: bool
    keepalive_s: int
    will: Message | None
    username: str | None
    password: bytes | None


class Publish(NamedTuple):
    """`mid` is 0 at QoS 0."""

    message: Message
    mid: int
    duplicate: bool


class _Cursor:
    """Reads fields off a packet's body; raises MalformedError where it is too short."""

    def __init__(self, packet: MqttPacket) -> None:
        self._body, self._position = packet.body, 0

    def take(self, count: int) -> bytes:
        start = self._position
        self._position += count
        if self._position > len(self._body):
            raise MalformedError("a packet is shorter than its fields")
        return self._body[start : self._position]

    def byte(self) -> int:
        return self.take(1)[0]

    def short(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def mid(self) -> int:
        mid = self.short()
        if mid == 0:
            raise MalformedError("a packet identifier is 0")
        return mid

    def data(self) -> bytes:
        return self.take(self.short())

    def text(self) -> str:
        """Section 1.5.3: UTF-8, without NUL."""
        try:
            text = self.data().decode("utf-8")
        except UnicodeDecodeError:
            raise MalformedError("a string is not UTF-8") from None
        if "\0" in text:
            raise MalformedError("a string holds NUL")
        return text

    @property
    def rest(self) -> bytes:
        return self._body[self._position :]


def cut(buffer: bytearray, limit: int) -> MqttPacket | None:
    """The first packet, removed from `buffer`; None while it is not whole.

    Raises MalformedError for what can be none, and for one of more than `limit` bytes.
    """
    length, end = 0, 1
    while True:
        if end >= len(buffer):
            return None
        length |= (buffer[end] & 0x7F) << 7 * (end - 1)
        end += 1
        if buffer[end - 1] < 0x80:
            break
        if end > _VARIABLE:
            raise MalformedError("a length has more than four bytes")
    kind, flags = _kind(buffer[0])
    if length > limit:
        raise MalformedError(f"a packet has {length} bytes, {limit} are allowed")
    if len(buffer) < end + length:
        return None
    body = bytes(memoryview(buffer)[end : end + length])
    del buffer[: end + length]
    return MqttPacket(kind, flags, body)


def _kind(first: int) -> tuple[PacketKind, int]:
    kind, flags = _KINDS.get(first >> 4), first & 0x0F
    if kind is None:
        raise MalformedError(f"there is no packet of kind {first >> 4}")
    if kind is not PacketKind.PUBLISH and flags != _FLAGS.get(kind, 0):
        raise MalformedError(f"{kind.name} has wrong flags")
    return kind, flags


def connect_of(packet: MqttPacket) -> Connect:
    """Section 3.1; raises MalformedError, LevelError."""
    cursor = _Cursor(packet)
    name, level = cursor.text(), cursor.byte()
    if name not in ("MQTT", "MQIsdp"):
        raise MalformedError("it is not MQTT")
    if name != "MQTT" or level != LEVEL:
        raise LevelError(level)
    flags, keepalive_s = cursor.byte(), cursor.short()
    _check_flags(flags)
    return Connect(
        clean=bool(flags & 0x02),
        keepalive_s=keepalive_s,
        client_id=cursor.text(),
        will=_will(cursor, flags) if flags & 0x04 else None,
        username=cursor.text() if flags & 0x80 else None,
        password=cursor.data() if flags & 0x40 else None,
    )


def _check_flags(flags: int) -> None:
    will_alone = not flags & 0x04 and flags & 0x38
    if flags & 0x01 or will_alone or flags & 0x18 == 0x18 or flags & 0xC0 == 0x40:
        raise MalformedError("CONNECT has wrong flags")


def _will(cursor: _Cursor, flags: int) -> Message:
    topic, payload = cursor.text(), cursor.data()
    _check_topic(topic)
    return Message(topic=topic, payload=payload, qos=flags >> 3 & 3, retain=bool(flags & 0x20))


def _check_topic(topic: str) -> None:
    """Section 4.7.1: wildcards are for filters."""
    if not topic or "+" in topic or "#" in topic:
        raise MalformedError("a topic is empty or holds a wildcard")


def publish_of(packet: MqttPacket) -> Publish:
    """Section 3.3."""
    cursor, qos = _Cursor(packet), packet.flags >> 1 & 3
    duplicate = bool(packet.flags & 8)
    if qos == 3 or (duplicate and not qos):
        raise MalformedError("PUBLISH has wrong flags")
    topic = cursor.text()
    _check_topic(topic)
    mid = cursor.mid() if qos else 0
    message = Message(topic=topic, payload=cursor.rest, qos=qos, retain=bool(packet.flags & 1))
    return Publish(message, mid, duplicate)


def subscribe_of(packet: MqttPacket) -> tuple[int, list[tuple[str, int]]]:
    """Section 3.8: its identifier, filters and the QoS asked for."""
    cursor, wanted = _Cursor(packet), []
    mid = cursor.mid()
    while cursor.rest:
        wanted.append((cursor.text(), cursor.byte()))
        if wanted[-1][1] > 2:
            raise MalformedError("SUBSCRIBE asks for no known QoS")
    if not wanted:
        raise MalformedError("SUBSCRIBE names no filter")
    return mid, wanted


def unsubscribe_of(packet: MqttPacket) -> tuple[int, list[str]]:
    """Section 3.10."""
    cursor, filters = _Cursor(packet), []
    mid = cursor.mid()
    while cursor.rest:
        filters.append(cursor.text())
    if not filters:
        raise MalformedError("UNSUBSCRIBE names no filter")
    return mid, filters


def mid_of(packet: MqttPacket) -> int:
    """Of PUBACK, PUBREC, PUBREL, PUBCOMP."""
    cursor = _Cursor(packet)
    mid = cursor.mid()
    if cursor.rest:
        raise MalformedError(f"{packet.kind.name} is longer than its fields")
    return mid


def connack(answer: Answer, *, session_present: bool = False) -> bytes:
    return bytes((PacketKind.CONNACK << 4, 2, session_present, answer))


def acknowledge(kind: PacketKind, mid: int) -> bytes:
    """PUBACK, PUBREC, PUBREL, PUBCOMP or UNSUBACK."""
    return struct.pack("!BBH", kind << 4 | _FLAGS.get(kind, 0), 2, mid)


def suback(mid: int, granted: list[int]) -> bytes:
    return _head(PacketKind.SUBACK << 4, 2 + len(granted)) + struct.pack("!H", mid) + bytes(granted)


def publish(message: Message, *, mid: int = 0, duplicate: bool = False) -> bytes:
    """`message` with its own QoS; `mid` for any above 0."""
    topic = message.topic.encode()
    first = PacketKind.PUBLISH << 4 | duplicate << 3 | message.qos << 1 | message.retain
    identifier = struct.pack("!H", mid) if message.qos else b""
    size = 2 + len(topic) + len(identifier) + len(message.payload)
    return b"".join((_head(first, size), struct.pack("!H", len(topic)), topic, identifier, message.payload))


def _head(first: int, length: int) -> bytes:
    """The fixed header, section 2.2.3."""
    head = bytearray((first,))
    while True:
        length, low = length >> 7, length & 0x7F
        head.append(low | (0x80 if length else 0))
        if not length:
            return bytes(head)
