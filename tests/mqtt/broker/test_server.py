"""The embedded broker, with real clients."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import random
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from detector.core.errors import BrokerError
from detector.core.types import Message
from detector.mqtt.broker import connection_limits
from detector.mqtt.broker.server import EmbeddedBroker
from detector.mqtt.client import MqttClient, MqttSettings, probe
from detector.mqtt.connection import dial
from support.messages import WILL, running
from support.mosquitto import DEADLINE, RecordingSubscriber, wait_until
from support.raw_mqtt import RawMqtt, greeting, request, subscription


@contextlib.contextmanager
def serving(broker: EmbeddedBroker) -> Iterator[MqttSettings]:
    with running(broker.run):
        broker.wait_started(DEADLINE)
        yield MqttSettings(host="127.0.0.1", port=broker.port, client_id="detector-t", protocol="3.1.1")


def test_carries_messages_retained_state_and_the_last_will() -> None:
    with serving(EmbeddedBroker()) as settings:
        early = RecordingSubscriber(settings.port, "p/#")
        link = MqttClient(settings=settings, will=WILL)
        answers: list[str | None] = []
        with running(link.run):
            link.publish(Message(topic="p/porch/person", payload=b"2", retain=True))
            wait_until(lambda: link.publish(Message(topic="p/alerts", payload=b"a", qos=1), answers.append))
            wait_until(lambda: answers == [None])
            late = RecordingSubscriber(settings.port, "p/#")
            late.wait_for(lambda h: {m.topic for m in h if m.retained} == {"p/porch/person", "p/available"})
            late.close()
        early.wait_for(lambda h: h[-1].payload == b"offline")
        assert early.last("p/alerts") == b"a"
        early.close()


def test_a_dead_client_leaves_its_will() -> None:
    with serving(EmbeddedBroker()) as settings:
        subscriber = RecordingSubscriber(settings.port, "p/#")
        connect = b"\x00\x04MQTT\x04\x06\x00\x3c\x00\x01x\x00\x06p/will\x00\x04gone"
        with socket.create_connection(("127.0.0.1", settings.port)) as client:
            client.sendall(b"\x10" + bytes([len(connect)]) + connect)
            assert client.recv(4) == b"\x20\x02\x00\x00"
        subscriber.wait_for(lambda h: [(m.topic, m.payload) for m in h] == [("p/will", b"gone")])
        subscriber.close()


def test_only_the_right_password_gets_in() -> None:
    with serving(EmbeddedBroker(username="ha", password=SecretStr("right-secret"))) as nobody:
        right = dataclasses.replace(nobody, username="ha", password=SecretStr("right-secret"))
        probe(right)
        for wrong in (
            nobody,
            dataclasses.replace(right, password=SecretStr("wrong-secret")),
            dataclasses.replace(right, username="hb"),
            dataclasses.replace(right, password=None),
        ):
            with pytest.raises(BrokerError, match="refuses the connection"):
                probe(wrong)


def test_an_mqtt_5_client_falls_back() -> None:
    with serving(EmbeddedBroker()) as settings:
        link = MqttClient(settings=dataclasses.replace(settings, protocol="auto"), will=WILL)
        with running(link.run):
            wait_until(lambda: link.status().state == "connected")
            assert link.status().protocol == "3.1.1"


def test_a_taken_port_is_told_with_the_key_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        broker = EmbeddedBroker(port=other.getsockname()[1])
        with running(broker.run), pytest.raises(BrokerError, match=r"in use.*mqtt\.embedded\.port"):
            broker.wait_started(DEADLINE)


def test_a_foreign_address_is_told_with_the_key_to_change() -> None:
    broker = EmbeddedBroker(host="192.0.2.1", username="u", password=SecretStr("pw"))
    with running(broker.run), pytest.raises(BrokerError, match=r"mqtt\.embedded\.host"):
        broker.wait_started(DEADLINE)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])
def test_strangers_are_not_let_in_off_the_loopback(host: str) -> None:
    with pytest.raises(BrokerError, match=r"mqtt\.username"):
        EmbeddedBroker(host=host)


def test_not_started_yet_is_told() -> None:
    with pytest.raises(BrokerError, match="did not start within"):
        EmbeddedBroker().wait_started(0.01)


def test_accepted_sockets_do_not_wait_for_more_bytes() -> None:
    broker = EmbeddedBroker()
    with serving(broker) as settings:
        subscriber = RecordingSubscriber(settings.port)
        (client,) = broker._clients
        assert client._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        subscriber.close()


def test_the_links_own_socket_does_not_wait_for_more_bytes_either() -> None:
    with serving(EmbeddedBroker()) as settings:
        connection = dial(settings, protocols=settings.protocols)
        try:
            sock: Any = connection._client.socket()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        finally:
            connection.abandon()


def test_stops_at_once_under_clients_that_do_not_go(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    broker = EmbeddedBroker()
    with contextlib.ExitStack() as clients:
        with serving(broker) as settings:
            silent = clients.enter_context(socket.create_connection(("127.0.0.1", settings.port)))
            silent.sendall(b"\x10")  # the first byte of a greeting, and no more
            subscriber = RecordingSubscriber(settings.port)
            clients.callback(subscriber.close)
            link = MqttClient(settings=settings, will=WILL)
            stop = clients.enter_context(running(link.run))
            wait_until(lambda: link.status().state == "connected")
            wait_until(lambda: len(broker._clients) == 3)
            began = time.monotonic()
        assert time.monotonic() - began < DEADLINE
        assert silent.recv(1) == b""
        stop.set()
    assert not [r for r in caplog.records if r.name.startswith(("detector.mqtt.broker", "asyncio"))]


def test_nonsense_does_not_disturb_others() -> None:
    broker = EmbeddedBroker()
    with serving(broker) as settings:
        subscriber = RecordingSubscriber(settings.port)
        for junk in (b"GET / HTTP/1.0\r\n\r\n", b"\x00" * 64, b"\x10\xff\xff\xff\xff\xff", b"\x30\x05\x00\x03a/b"):
            with socket.create_connection(("127.0.0.1", settings.port)) as client:
                client.sendall(junk)
        wait_until(lambda: len(broker._clients) == 1)
        subscriber.publish("p/x", "1")
        subscriber.wait_for(lambda h: h and h[-1].payload == b"1")
        subscriber.close()


def connections(stack: contextlib.ExitStack, port: int, count: int) -> list[socket.socket]:
    return [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)) for _ in range(count)]


def test_night_07_a_real_client_gets_in_past_110_silent_ones(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    broker = EmbeddedBroker()
    with serving(broker) as settings, contextlib.ExitStack() as clients:
        silent = connections(clients, settings.port, 110)
        for number in range(18):
            connections(clients, settings.port, 5)  # the flood goes on
            RawMqtt(settings.port, greeting(f"real-{number}")).close()
        assert silent[0].recv(1) == b"", "the oldest gave way"
        wait_until(lambda: len(broker._clients) <= connection_limits.MAX_SILENT_PER_PEER)
    assert len([r for r in caplog.records if "did not say CONNECT" in r.getMessage()]) == 1


def test_night_07_a_silent_connection_ends_within_5_s() -> None:
    with serving(EmbeddedBroker()) as settings, contextlib.ExitStack() as clients:
        (silent,) = connections(clients, settings.port, 1)
        silent.sendall(b"\x10")  # bytes alone do not count: CONNECT does
        began = time.monotonic()
        assert silent.recv(1) == b""
        assert 4.5 < time.monotonic() - began < 6.0


def test_night_07_the_services_own_link_gets_in_when_all_places_are_taken() -> None:
    broker = EmbeddedBroker()
    with contextlib.ExitStack() as clients:
        broker.reserve("service-7f3a")
        settings = clients.enter_context(serving(broker))
        for number in range(connection_limits.MAX_CLIENTS_PER_PEER):
            clients.callback(RawMqtt(settings.port, greeting(f"guest-{number}")).close)
        with pytest.raises(BrokerError, match="takes no connection now"):
            probe(dataclasses.replace(settings, client_id="one-more"))
        for _ in range(3):
            link = MqttClient(settings=dataclasses.replace(settings, client_id="service-7f3a"), will=WILL)
            with running(link.run):
                wait_until(lambda link=link: link.status().state == "connected")  # type: ignore[misc]


def fuzzed(dice: random.Random) -> bytes:
    """Bytes that begin as MQTT does, more or less."""
    whole = greeting("fuzz", will=("p/will", "x")) + subscription("p/#") + request(0x30, b"\x00\x03p/xhello")
    data = bytearray(whole[: dice.randrange(len(whole) + 1)])
    for _ in range(dice.randrange(6)):
        if data:
            data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data) + dice.randbytes(dice.randrange(20))


def storm(settings: MqttSettings, count: int, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", settings.port), timeout=DEADLINE) as one:
            with contextlib.suppress(OSError):
                one.sendall(fuzzed(dice))
            if dice.random() < 0.2:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset


@pytest.mark.parametrize(
    "count", [500, pytest.param(10_000, marks=[pytest.mark.fault, pytest.mark.timeout(300)])], ids=str
)
def test_night_07_fuzzed_connections_harm_nobody(count: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    broker = EmbeddedBroker()
    with serving(broker) as settings:
        subscriber = RecordingSubscriber(settings.port, "kept/#")
        storm(settings, count, seed=7)
        wait_until(lambda: len(broker._clients) == 1, "the storm's connections to end")
        subscriber.publish("kept/x", "1")
        subscriber.wait_for(lambda h: h and h[-1].payload == b"1")
        subscriber.close()
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
