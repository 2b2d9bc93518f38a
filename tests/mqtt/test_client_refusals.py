"""The link and those who refuse: old brokers, nonsense, wrong passwords, TLS, topics, sizes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from pydantic import SecretStr

from detector.core.errors import BrokerError, ConfigError
from detector.core.types import Message
from detector.mqtt.client import probe
from support.links import MakeBroker, OldBroker, connected, make_link, settings
from support.messages import WILL, running
from support.mosquitto import Certificates, RecordingSubscriber, free_port, wait_until


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00", b""])
def test_falls_back_to_3_1_1_where_5_is_refused_and_remembers_it(answer: bytes) -> None:
    broker = OldBroker(answer)
    link = make_link(broker.port, flush_s=0.1)
    with running(broker.run), running(link.run):
        connected(link)
        assert link.status().protocol == "3.1.1"
        assert broker.levels == [5, 4]
        broker.hang_up()
        wait_until(lambda: link.status().connects == 2)
        assert broker.levels == [5, 4, 4]


@pytest.mark.parametrize(
    "packet",
    [
        b"\x30\x05\x00\x03\xff\xfe\xfd",  # PUBLISH whose topic is not UTF-8
        b"\x30\x02\x00\x30",  # PUBLISH shorter than its topic's length says
        b"\x40\x01\x00",  # PUBACK cut short
        b"\x90\x00",  # SUBACK for nothing
        b"\xff\xff\xff\xff\xff\xff",
    ],
)
def test_nonsense_from_the_broker_ends_the_connection_not_the_link(packet: bytes) -> None:
    broker = OldBroker(b"")
    link = make_link(broker.port, flush_s=0.1)
    with running(broker.run), running(link.run):
        connected(link)
        broker.say(packet)
        broker.hang_up()
        wait_until(lambda: link.status().connects == 2)


def test_a_wrong_password_is_a_refusal_not_a_connection(make_broker: MakeBroker) -> None:
    broker = make_broker(credentials=("ha", "right-secret"))
    wrong = settings(broker.port, username="ha", password=SecretStr("wrong-secret"))
    link = make_link(broker.port, settings=wrong)
    with running(link.run):
        wait_until(lambda: link.status().state == "refused")
        status = link.status()
        assert status.connects == 0
        assert status.error is not None
        assert "mqtt.password" in status.error
        assert "secret" not in status.error
        assert not link.publish(Message(topic="p/alerts", payload=b"x", qos=1))
        assert link.session() is None
    with pytest.raises(BrokerError, match=r"not authorized|user name"):
        probe(wrong)
    probe(dataclasses.replace(wrong, password=SecretStr("right-secret")))


def test_tls_needs_the_ca(make_broker: MakeBroker, certificates: Certificates, tmp_path: Path) -> None:
    broker = make_broker(certificates=certificates)
    trusting = settings(broker.port, tls=True, ca_file=certificates.ca)
    link = make_link(broker.port, settings=trusting)
    with running(link.run):
        connected(link)
        assert link.publish(Message(topic="p/x", payload=b"1", qos=1))
    with pytest.raises(BrokerError, match=r"not trusted.*mqtt\.ca_file"):
        probe(settings(broker.port, tls=True))
    with pytest.raises(BrokerError):
        probe(settings(broker.port), timeout=1.0)  # plain MQTT to a TLS port
    link = make_link(broker.port, settings=settings(broker.port, tls=True))
    with running(link.run):
        wait_until(lambda: link.status().state == "refused")
    mutual = settings(broker.port, tls=True, ca_file=certificates.ca)
    probe(dataclasses.replace(mutual, cert_file=certificates.cert, key_file=certificates.key))
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"mqtt\.cert_file"):
        probe(dataclasses.replace(mutual, cert_file=junk, key_file=junk))
    with pytest.raises(ConfigError, match=r"mqtt\.ca_file"):
        make_link(broker.port, settings=settings(broker.port, tls=True, ca_file=junk))


def test_probe_says_who_cannot_be_reached() -> None:
    port = free_port()
    with pytest.raises(BrokerError, match=f"cannot reach mqtt://127.0.0.1:{port}"):
        probe(settings(port))
    with pytest.raises(BrokerError, match="cannot find the host"):
        probe(settings(port, host="no-such-host.invalid"))


def test_a_publish_that_mqtt_5_refuses_is_told(make_broker: MakeBroker) -> None:
    acl = "topic readwrite p/#\ntopic deny p/alerts\n"
    broker = make_broker(acl=acl)
    link = make_link(broker.port, settings=settings(broker.port, protocol="5"))
    answers: list[str | None] = []
    with running(link.run):
        connected(link)
        assert link.publish(Message(topic="p/alerts", payload=b"x", qos=1), answers.append)
        wait_until(lambda: answers)
        assert answers == ["not authorized"]
        assert link.status().state == "connected"
        assert "p/alerts" in str(link.status().error)


def test_a_refused_subscription_is_told() -> None:
    broker = OldBroker(b"")
    link = make_link(broker.port, flush_s=0.1)
    link.subscribe("p/alarm/set", lambda _topic, _payload: None)
    with running(broker.run), running(link.run):
        connected(link)
        broker.say(b"\x90\x03\x00\x01\x80")
        wait_until(lambda: "commands will not arrive" in str(link.status().error))
        assert link.status().state == "connected"


def test_what_is_too_large_for_the_broker_is_refused_and_holds_up_nothing(make_broker: MakeBroker) -> None:
    broker = make_broker(options=["max_packet_size 2000"])
    link = make_link(broker.port, settings=settings(broker.port, protocol="5"))
    with running(link.run):
        connected(link)
        with pytest.raises(BrokerError, match="larger than the broker takes"):
            link.publish(Message(topic="p/x", payload=bytes(3000)))
        link.publish(Message(topic="p/porch/person/snapshot", payload=bytes(3000), retain=True))
        link.publish(Message(topic="p/porch/person", payload=b"1", retain=True))
        subscriber = RecordingSubscriber(broker.port, "p/porch/#")
        heard = subscriber.wait_for(lambda h: len(h) == 1)
        subscriber.close()
        assert heard[0].topic == "p/porch/person"
        assert link.status().connects == 1


@pytest.mark.parametrize("topic", ["p/+/x", "p/#", "p/\0", "p/a\nb", "", "$SYS/x", "p/\x7f"])
def test_topics_that_no_broker_may_take_are_refused(topic: str) -> None:
    link = make_link(1)
    with pytest.raises(BrokerError, match="cannot be published"):
        link.publish(Message(topic=topic, payload=b"x"))


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="acknowledgement"):
        make_link(1).publish(Message(topic="p/x", payload=b"x", retain=True), lambda _: None)
    with pytest.raises(ValueError, match="will must be retained"):
        make_link(1, will=dataclasses.replace(WILL, retain=False))
