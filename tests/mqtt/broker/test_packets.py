"""Bytes of MQTT 3.1.1, and what is none."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.core.types import Message
from detector.mqtt.broker import packets
from detector.mqtt.broker.packets import Answer, LevelError, MalformedError, MqttPacket, PacketKind

LIMIT = 1 << 20
MESSAGES = st.builds(
    Message,
    topic=st.text(st.characters(exclude_characters="+#\0", exclude_categories=["Cs"]), min_size=1, max_size=50),
    payload=st.binary(max_size=500),
    qos=st.integers(0, 2),
    retain=st.booleans(),
)


def one(data: bytes) -> MqttPacket:
    buffer = bytearray(data)
    packet = packets.cut(buffer, LIMIT)
    assert packet is not None
    assert not buffer
    return packet


@settings(deadline=None)
@given(MESSAGES, st.integers(1, 65_535))
def test_a_message_is_read_as_it_was_written(message: Message, mid: int) -> None:
    found = packets.publish_of(one(packets.publish(message, mid=mid, duplicate=message.qos > 0)))
    assert found.message == message
    assert (found.mid, found.duplicate) == ((mid, True) if message.qos else (0, False))


@settings(deadline=None)
@given(st.lists(MESSAGES, min_size=1, max_size=5), st.data())
def test_packets_are_cut_wherever_the_stream_is_split(messages: list[Message], data: st.DataObject) -> None:
    stream = b"".join(packets.publish(message, mid=7) for message in messages)
    buffer, found = bytearray(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        buffer += stream[:size]
        stream = stream[size:]
        while (packet := packets.cut(buffer, LIMIT)) is not None:
            found.append(packets.publish_of(packet).message)
    assert found == messages


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_lengths_at_the_edges_of_their_encoding(size: int) -> None:
    message = Message(topic="t", payload=bytes(size - 3) if size >= 3 else b"")
    buffer = bytearray(packets.publish(message))
    packet = packets.cut(buffer, 4 << 20)
    assert packet is not None
    assert packets.publish_of(packet).message == message


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_packet_or_refused(data: bytes) -> None:
    readers = {
        PacketKind.CONNECT: packets.connect_of,
        PacketKind.PUBLISH: packets.publish_of,
        PacketKind.SUBSCRIBE: packets.subscribe_of,
        PacketKind.UNSUBSCRIBE: packets.unsubscribe_of,
        PacketKind.PUBACK: packets.mid_of,
    }
    for kind, read in readers.items():
        with contextlib.suppress(MalformedError, LevelError):
            read(MqttPacket(kind, 0, data))
    with contextlib.suppress(MalformedError):
        packets.cut(bytearray(data), LIMIT)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x00\x00", "no packet of kind 0"),
        (b"\xf0\x00", "no packet of kind 15"),
        (b"\x10\xff\xff\xff\xff\x01", "four bytes"),
        (b"\x10\xff\xff\xff\x7f", "are allowed"),
        (b"\x80\x00", "SUBSCRIBE has wrong flags"),
        (b"\x62\x00", None),
        (b"\x60\x00", "PUBREL has wrong flags"),
        (b"\xc1\x00", "PINGREQ has wrong flags"),
    ],
)
def test_fixed_headers(data: bytes, says: str | None) -> None:
    if says is None:
        assert packets.cut(bytearray(data), LIMIT) == MqttPacket(PacketKind.PUBREL, 2, b"")
        return
    with pytest.raises(MalformedError, match=says):
        packets.cut(bytearray(data), LIMIT)


def greeting(flags: int, *fields: bytes, name: bytes = b"MQTT", level: int = 4) -> MqttPacket:
    head = len(name).to_bytes(2, "big") + name + bytes((level, flags)) + b"\x00\x3c"
    return MqttPacket(PacketKind.CONNECT, 0, head + b"".join(len(f).to_bytes(2, "big") + f for f in fields))


def test_a_greeting_with_all_it_can_hold() -> None:
    found = packets.connect_of(greeting(0xEE, b"me", b"p/will", b"gone", b"ha", b"secret"))
    assert (found.client_id, found.clean, found.keepalive_s) == ("me", True, 60)
    assert (found.username, found.password) == ("ha", b"secret")
    assert found.will == Message(topic="p/will", payload=b"gone", qos=1, retain=True)


@pytest.mark.parametrize(
    "packet",
    [
        greeting(0x03, b"me"),  # the reserved flag
        greeting(0x42, b"me", b"secret"),  # a password without a name
        greeting(0x1E, b"me", b"p/will", b"gone"),  # a will of QoS 3
        greeting(0x22, b"me"),  # a retained will that is none
        greeting(0x06, b"me", b"p/#", b"gone"),
        greeting(0x02, b"m\0e"),
        greeting(0x02, b"\xff\xfe"),
        greeting(0xC2, b"me", b"ha"),  # its password is missing
        greeting(0x02, b"me", name=b"HTTP"),
    ],
)
def test_greetings_that_are_none(packet: MqttPacket) -> None:
    with pytest.raises(MalformedError):
        packets.connect_of(packet)


@pytest.mark.parametrize(("level", "answer"), [(5, b"\x20\x03\x00\x84\x00"), (3, b"\x20\x02\x00\x01")])
def test_other_versions_are_told_in_their_own_words(level: int, answer: bytes) -> None:
    with pytest.raises(LevelError) as caught:
        packets.connect_of(greeting(0x02, b"me", level=level))
    assert caught.value.answer == answer


@pytest.mark.parametrize(
    ("flags", "body"),
    [
        (6, b"\x00\x01a\x00\x01"),  # QoS 3
        (8, b"\x00\x01a"),  # a duplicate of QoS 0
        (2, b"\x00\x01a\x00\x00x"),  # identifier 0
        (0, b"\x00\x03a/+"),
        (0, b"\x00\x00x"),
        (0, b"\x00\x05a"),
    ],
)
def test_messages_that_are_none(flags: int, body: bytes) -> None:
    with pytest.raises(MalformedError):
        packets.publish_of(MqttPacket(PacketKind.PUBLISH, flags, body))


def test_requests_are_read() -> None:
    subscribe = MqttPacket(PacketKind.SUBSCRIBE, 2, b"\x00\x07\x00\x01a\x01\x00\x03b/#\x02")
    assert packets.subscribe_of(subscribe) == (7, [("a", 1), ("b/#", 2)])
    assert packets.unsubscribe_of(MqttPacket(PacketKind.UNSUBSCRIBE, 2, b"\x00\x08\x00\x01a")) == (8, ["a"])
    for broken in (b"\x00\x07", b"\x00\x07\x00\x01a", b"\x00\x07\x00\x01a\x03", b"\x00\x00\x00\x01a\x01"):
        with pytest.raises(MalformedError):
            packets.subscribe_of(MqttPacket(PacketKind.SUBSCRIBE, 2, broken))
    with pytest.raises(MalformedError):
        packets.unsubscribe_of(MqttPacket(PacketKind.UNSUBSCRIBE, 2, b"\x00\x07"))
    with pytest.raises(MalformedError):
        packets.mid_of(MqttPacket(PacketKind.PUBACK, 0, b"\x00\x07x"))


def test_answers_are_written() -> None:
    assert packets.connack(Answer.CREDENTIALS) == b"\x20\x02\x00\x04"
    assert packets.connack(Answer.ACCEPTED, session_present=True) == b"\x20\x02\x01\x00"
    assert packets.acknowledge(PacketKind.PUBACK, 258) == b"\x40\x02\x01\x02"
    assert packets.acknowledge(PacketKind.PUBREL, 1) == b"\x62\x02\x00\x01"
    assert packets.suback(1, [0, 1, packets.REFUSED]) == b"\x90\x05\x00\x01\x00\x01\x80"
    assert packets.PONG == b"\xd0\x00"
