"""One connection, written to by many threads."""

from __future__ import annotations

import hashlib
import signal
import threading
from functools import partial

import pytest

from detector.core.types import Message
from detector.mqtt.connection import Ack, BrokerConnection, dial
from detector.mqtt.tls import tls_context
from support.links import MakeBroker, connected, make_link, settings
from support.messages import running
from support.mosquitto import Certificates, Heard, RecordingSubscriber, wait_until

WRITERS = 4
EACH = 60


def checked(writer: int, number: int) -> bytes:
    """A payload of any size up to 200 kB that says whose it is, and whether it came whole."""
    body = b"%d %d " % (writer, number) + bytes([number % 251]) * (number * 7919 % 200_000)
    return hashlib.sha256(body).digest() + body


def read(heard: Heard) -> tuple[int, int]:
    digest, body = heard.payload[:32], heard.payload[32:]
    assert hashlib.sha256(body).digest() == digest, "a packet came torn"
    writer, number, _ = body.split(b" ", 2)
    return int(writer), int(number)


def write(connection: BrokerConnection, writer: int) -> None:
    for number in range(EACH):
        assert connection.publish(Message(topic=f"p/{writer}", payload=checked(writer, number), qos=1)) is not None


def serve(connection: BrokerConnection, stop: threading.Event) -> None:
    while not stop.is_set():
        assert connection.step(0.05), connection.closed_because


@pytest.mark.parametrize("tls", [False, True])
def test_packets_of_many_threads_do_not_mix(make_broker: MakeBroker, certificates: Certificates, tls: bool) -> None:
    broker = make_broker(certificates=certificates if tls else None)
    wanted = settings(broker.port, tls=tls, ca_file=certificates.ca if tls else None)
    subscriber = RecordingSubscriber(broker.port, "p/+", ca=wanted.ca_file)
    connection = dial(wanted, protocols=("3.1.1",), tls=tls_context(wanted))
    with running(partial(serve, connection)):
        threads = [threading.Thread(target=write, args=(connection, writer)) for writer in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        heard = subscriber.wait_for(lambda h: len(h) == WRITERS * EACH)
        acks: list[Ack] = []

        def all_answered() -> bool:
            acks.extend(connection.take_acks())
            return len(acks) == WRITERS * EACH

        wait_until(all_answered)
    connection.abandon()
    subscriber.close()
    assert {ack.error for ack in acks} == {None}
    found = [read(one) for one in heard]
    for writer in range(WRITERS):
        assert [number for who, number in found if who == writer] == list(range(EACH)), "out of order"


def test_what_the_socket_does_not_take_at_once_follows(make_broker: MakeBroker) -> None:
    broker = make_broker()
    subscriber = RecordingSubscriber(broker.port, "p/x")
    link = make_link(broker.port, window=5)
    answers: list[str | None] = []
    payloads = [bytes([n]) * 2_000_000 for n in range(3)]
    with running(link.run):
        connected(link)
        wait_until(lambda: link.status().unacknowledged == 0)
        broker.signal(signal.SIGSTOP)
        for payload in payloads:
            assert link.publish(Message(topic="p/x", payload=payload, qos=1), answers.append)
        assert not answers
        broker.signal(signal.SIGCONT)
        heard = subscriber.wait_for(lambda h: len(h) == len(payloads))
        wait_until(lambda: answers == [None] * len(payloads))
    subscriber.close()
    assert [one.payload for one in heard] == payloads


def test_a_message_leaves_in_the_thread_that_publishes_it(make_broker: MakeBroker) -> None:
    broker = make_broker()
    subscriber = RecordingSubscriber(broker.port, "p/x")
    connection: BrokerConnection = dial(settings(broker.port), protocols=("3.1.1",))
    assert connection.publish(Message(topic="p/x", payload=b"now", qos=1)) is not None
    subscriber.wait_for(lambda h: [one.payload for one in h] == [b"now"], "nobody served the connection")
    connection.abandon()
    subscriber.close()


def test_a_loss_that_publish_finds_is_told_by_the_next_step(make_broker: MakeBroker) -> None:
    broker = make_broker()
    connection = dial(settings(broker.port), protocols=("3.1.1",))
    broker.kill()
    wait_until(lambda: connection.publish(Message(topic="p/x", payload=b"x", qos=1)) is None)
    assert not connection.step(60.0)
    assert connection.closed_because == "the connection was lost"
    connection.abandon()
