"""Clients of all kinds at the embedded broker: Mosquitto's own, paho, and some that behave badly."""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from detector.core.types import Message
from detector.mqtt.broker import client as clients
from detector.mqtt.broker import packets, server
from detector.mqtt.broker import session as sessions
from detector.mqtt.broker.packets import PacketKind
from detector.mqtt.broker.server import EmbeddedBroker
from support.messages import running
from support.mosquitto import DEADLINE, RecordingSubscriber, program, wait_until
from support.raw_mqtt import RawMqtt, greeting, request, subscription


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedBroker]:
    monkeypatch.setattr(server, "_LOOK_S", 0.01)  # so that tests end sooner
    broker = EmbeddedBroker()
    with running(broker.run):
        broker.wait_started(DEADLINE)
        yield broker


@pytest.fixture
def port(broker: EmbeddedBroker) -> int:
    return broker.port


def mosquitto_pub(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [program("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(port), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)


@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_mosquittos_own_clients(port: int, qos: str) -> None:
    assert mosquitto_pub(port, "-t", "p/kept", "-m", "old", "-r", "-q", qos).returncode == 0
    command = [program("mosquitto_sub"), "-h", "127.0.0.1", "-p", str(port), "-t", "p/#", "-q", qos, "-C", "3", "-v"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listening:
        assert listening.stdout is not None
        assert listening.stdout.readline() == "p/kept old\n"
        for number in ("1", "2"):
            assert mosquitto_pub(port, "-t", "p/x", "-m", number, "-q", qos).returncode == 0
        assert listening.stdout.read() == "p/x 1\np/x 2\n"
    assert listening.returncode == 0


@pytest.mark.parametrize("version", ["5", "31"])
def test_other_versions_are_refused_politely(port: int, version: str) -> None:
    done = mosquitto_pub(port, "-t", "p/x", "-m", "1", "-V", version)
    assert done.returncode != 0
    assert "protocol version" in done.stderr.lower()


def test_what_is_published_twice_at_qos_2_arrives_once(port: int) -> None:
    subscriber, raw = RecordingSubscriber(port, "p/x"), RawMqtt(port, greeting("raw"))
    raw.say(packets.publish(Message(topic="p/x", payload=b"1", qos=2), mid=9))
    assert raw.hear() == packets.MqttPacket(PacketKind.PUBREC, 0, b"\x00\x09")
    raw.say(packets.publish(Message(topic="p/x", payload=b"1", qos=2), mid=9, duplicate=True))
    assert raw.hear().kind is PacketKind.PUBREC
    raw.say(packets.acknowledge(PacketKind.PUBREL, 9))
    assert raw.hear() == packets.MqttPacket(PacketKind.PUBCOMP, 0, b"\x00\x09")
    raw.say(packets.publish(Message(topic="p/x", payload=b"2", qos=2), mid=9))
    assert [m.payload for m in subscriber.wait_for(lambda h: len(h) == 2)] == [b"1", b"2"]
    raw.close()
    subscriber.close()


def test_pings_and_goodbyes_are_answered(port: int) -> None:
    raw = RawMqtt(port, greeting("raw", will=("p/will", "gone")))
    subscriber = RecordingSubscriber(port, "p/#")
    raw.say(b"\xc0\x00" + subscription("p/x") + request(0xA2, b"\x00\x02\x00\x03p/x"))
    assert [raw.hear().kind for _ in range(3)] == [PacketKind.PINGRESP, PacketKind.SUBACK, PacketKind.UNSUBACK]
    subscriber.publish("p/x", "1")
    raw.say(b"\xe0\x00")
    assert raw.ended()
    subscriber.publish("p/y", "2")
    heard = subscriber.wait_for(lambda h: h and h[-1].topic == "p/y")
    assert [m.topic for m in heard] == ["p/x", "p/y"], "who says goodbye leaves no will"
    subscriber.close()


def test_who_is_away_gets_everything_later(broker: EmbeddedBroker, port: int) -> None:
    here, other = RawMqtt(port, greeting("ledger", clean=False)), RecordingSubscriber(port, "nothing")
    here.say(subscription("p/#"))
    assert here.hear().kind is PacketKind.SUBACK
    other.publish("p/x", "0")
    unanswered = packets.publish_of(here.hear())
    here.close()
    wait_until(lambda: len(broker._clients) == 1)
    for number in range(1, 100):
        other.publish("p/x", str(number))
    again = RawMqtt(port)
    again.say(greeting("ledger", clean=False))
    assert again.hear() == packets.MqttPacket(PacketKind.CONNACK, 0, b"\x01\x00")  # the session is present
    found = []
    for _ in range(100):
        publish = packets.publish_of(again.hear())
        found.append(int(publish.message.payload))
        assert publish.duplicate == (publish.mid == unanswered.mid)
        again.say(packets.acknowledge(PacketKind.PUBACK, publish.mid))
    assert found == list(range(100))
    again.close()
    other.close()


def test_the_first_of_two_of_one_id_goes_with_its_will_before_the_second_speaks(port: int) -> None:
    subscriber = RecordingSubscriber(port, "p/available")
    first = RawMqtt(port, greeting("same", will=("p/available", "offline")))
    online = packets.publish(Message(topic="p/available", payload=b"online", qos=1), mid=1)
    second = RawMqtt(port)
    second.say(greeting("same", will=("p/available", "offline")) + online)  # in one go
    assert [second.hear().kind, second.hear().kind] == [PacketKind.CONNACK, PacketKind.PUBACK]
    assert first.ended()
    heard = subscriber.wait_for(lambda h: len(h) == 2)
    assert [m.payload for m in heard] == [b"offline", b"online"]
    second.close()
    subscriber.close()


def test_who_falls_silent_is_given_up_with_its_will(port: int) -> None:
    subscriber = RecordingSubscriber(port, "p/will")
    silent = RawMqtt(port, greeting("silent", keepalive_s=1, will=("p/will", "gone")))
    subscriber.wait_for(lambda h: [m.payload for m in h] == [b"gone"])
    assert silent.ended()
    subscriber.close()


def test_who_never_greets_is_given_up(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(clients, "_GREETING_S", 0.05)
    assert RawMqtt(port).ended()


def test_a_client_without_a_name_cannot_be_remembered(port: int) -> None:
    raw = RawMqtt(port)
    raw.say(greeting("", clean=False))
    assert raw.hear().body == b"\x00\x02"
    assert raw.ended()
    raw = RawMqtt(port, greeting("", clean=True))
    raw.close()


def test_who_does_not_read_costs_the_others_nothing(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    monkeypatch.setattr(sessions, "MAX_QUEUED", 100)
    monkeypatch.setattr(clients, "_CLOGGED", 4_000_000)
    lazy, writer, subscriber = (
        RawMqtt(port, greeting("lazy")),
        RawMqtt(port, greeting("writer")),
        RecordingSubscriber(port, "p/#"),
    )
    lazy.say(subscription("p/#", 1))
    assert lazy.hear().kind is PacketKind.SUBACK
    picture = packets.publish(Message(topic="p/picture", payload=bytes(300_000)))

    def write(number: int) -> None:
        writer.say(packets.publish(Message(topic="p/x", payload=b"%d" % number, qos=1), mid=number + 1))
        assert writer.hear().kind is PacketKind.PUBACK

    def hear(count: int) -> None:
        subscriber.wait_for(lambda h: len(h) == count)

    for number in range(60):
        writer.say(picture)
        write(number)
        hear(2 * (number + 1))  # who reads misses nothing
    (one,) = [client for client in broker._clients if client.clogged]
    assert one._transport.get_write_buffer_size() < clients._CLOGGED + len(picture) + 1000
    assert one._session is not None
    for number in range(60, 300):
        write(number)
    lazy.close()
    assert len(one._session._queue) <= 100
    heard = subscriber.wait_for(lambda h: len(h) == 360)
    assert [int(m.payload) for m in heard if m.topic == "p/x"] == list(range(300))
    writer.close()
    subscriber.close()


def test_many_clients_get_all_in_each_writers_order(port: int) -> None:
    readers = [RawMqtt(port, greeting(f"reader{n}")) for n in range(60)]
    writers = [RawMqtt(port, greeting(f"writer{n}")) for n in range(4)]
    for reader in readers:
        reader.say(subscription("p/+", 0))
        assert reader.hear().kind is PacketKind.SUBACK

    def write(who: int) -> None:
        for number in range(25):
            message = Message(topic=f"p/{who}", payload=b"%d" % number, qos=1)
            writers[who].say(packets.publish(message, mid=number + 1))
            assert writers[who].hear().kind is PacketKind.PUBACK

    threads = [threading.Thread(target=write, args=(who,)) for who in range(len(writers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for reader in readers:
        found = [packets.publish_of(reader.hear()).message for _ in range(100)]
        for who in range(len(writers)):
            assert [int(m.payload) for m in found if m.topic == f"p/{who}"] == list(range(25))
    for one in (*readers, *writers):
        one.close()


def test_nonsense_in_a_session_ends_it_alone(broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture) -> None:
    dice = random.Random(7)
    speech = b"".join((
        subscription("p/#"),
        packets.publish(Message(topic="p/x", payload=b"1", qos=1), mid=1),
        packets.publish(Message(topic="p/x", payload=b"2", qos=2), mid=2),
        packets.acknowledge(PacketKind.PUBREL, 2),
        b"\xc0\x00",
    ))  # fmt: skip
    subscriber = RecordingSubscriber(broker.port, "still/#")
    with ExitStack() as stack:
        for number in range(80):
            junk = bytearray(speech)
            for _ in range(dice.randrange(1, 4)):
                junk[dice.randrange(len(junk))] = dice.randrange(256)
            raw = RawMqtt(broker.port, greeting(f"junk{number}"))
            stack.callback(raw.close)
            raw.say(bytes(junk[: dice.randrange(1, len(junk))]))
    wait_until(lambda: len(broker._clients) == 1)
    subscriber.publish("still/here", "1")
    subscriber.wait_for(lambda h: [m.payload for m in h] == [b"1"])
    subscriber.close()
    assert not [record for record in caplog.records if record.levelname == "ERROR"], "a fault of the broker's own"


def test_a_packet_beyond_the_limit_ends_the_connection_before_it_is_held(port: int) -> None:
    stranger = RawMqtt(port)
    stranger.say(b"\x10\x81\x80\x08")  # a greeting of 128 KiB and one byte
    assert stranger.ended()
    known = RawMqtt(port, greeting("known"))
    known.say(b"\x30\x81\x80\x80\x10")  # a message of 32 MiB and one byte
    assert known.ended()
