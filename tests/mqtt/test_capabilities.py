"""A broker that keeps no retained messages, or takes QoS 0 alone, gets what it takes, and it is said."""

from __future__ import annotations

import contextlib

import pytest

from detector.core.types import Message
from detector.mqtt.capabilities import BrokerCapabilities
from support.links import MakeBroker, connected, make_link
from support.messages import running
from support.mosquitto import RecordingSubscriber, wait_until

ALERT = Message(topic="p/alerts", payload=b"{}", qos=1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["retain_available false"], ["no retained messages"]),
        (["max_qos 0"], ["QoS 0 alone"]),
        (["retain_available false", "max_qos 0"], ["no retained messages", "QoS 0 alone"]),
    ],
)
def test_h2_a_broker_without_retained_messages_or_qos_1_gets_alerts(
    make_broker: MakeBroker, options: list[str], says: list[str]
) -> None:
    """Mosquitto refuses such a will, and ends the connection at such a PUBLISH."""
    broker = make_broker(options=options)
    link = make_link(broker.port)
    acknowledged: list[str | None] = []
    with contextlib.closing(RecordingSubscriber(broker.port, "p/#")) as seen, running(link.run):
        connected(link)
        link.offer(Message(topic="p/porch/person/snapshot", payload=b"j" * 50_000, retain=True), shrinks=True)
        assert link.publish(ALERT, acknowledged.append)
        wait_until(lambda: acknowledged == [None])
        seen.wait_for(lambda heard: {"p/alerts", "p/porch/person/snapshot", "p/available"} <= {h.topic for h in heard})
        status = link.status()
        assert [any(words in line for line in status.left_out) for words in says] == [True] * len(says)
        assert (status.connects, len(status.left_out)) == (1, len(says))


def test_what_a_broker_does_not_name_is_there() -> None:
    plain = BrokerCapabilities.told(None)
    assert (plain.retains, plain.maximum_qos, plain.notes()) == (True, 1, ())
    assert plain.granted(ALERT) is ALERT
    assert BrokerCapabilities(maximum_qos=0).granted(ALERT).qos == 0
