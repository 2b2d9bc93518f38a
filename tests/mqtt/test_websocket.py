"""Brokers behind a web proxy: MQTT over WebSocket, plain and with TLS, against a real Mosquitto."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from detector.config.schema import Config
from detector.core.errors import BrokerError
from detector.core.types import Message
from detector.mqtt.client import MqttSettings, probe, settings_of
from support.links import MakeBroker, connected, make_link, settings
from support.messages import running
from support.mosquitto import DEADLINE, Certificates, Mosquitto, RecordingSubscriber, free_port, wait_until


def of(broker: str, **mqtt: object) -> MqttSettings:
    config = Config.model_validate(
        {"device": {"id": "yard"}, "cameras": {"porch": {"source": "a.mp4"}}, "mqtt": {"broker": broker, **mqtt}}
    )
    return settings_of(config, password=None)


@pytest.mark.parametrize(("tls", "protocol"), [(False, "3.1.1"), (True, "5")])
def test_h8_alerts_pictures_and_commands_pass_a_websocket(
    make_broker: MakeBroker, certificates: Certificates, tls: bool, protocol: str
) -> None:
    web = free_port()
    options = [f"listener {web} 127.0.0.1", "protocol websockets"]
    if tls:
        options += [f"certfile {certificates.cert}", f"keyfile {certificates.key}"]
    broker: Mosquitto = make_broker(options=options)
    wait_until(lambda: "running" in broker.log())  # it listens for the web a moment later
    wanted = settings(web, websocket_path="/mqtt", tls=tls, ca_file=certificates.ca if tls else None, protocol=protocol)
    subscriber = RecordingSubscriber(broker.port, "p/#")
    link, heard = make_link(web, settings=wanted), threading.Event()
    link.subscribe("p/alarm/set", lambda _topic, _payload: heard.set())
    answers: list[str | None] = []
    picture = bytes(range(256)) * 600
    with running(link.run):
        connected(link)
        for number in range(10):
            message = Message(topic="p/alerts", payload=b"%d " % number + picture[: number * 15_000], qos=1)
            wait_until(partial(link.publish, message, answers.append))
        link.offer(Message(topic="p/x/person/snapshot", payload=picture, retain=True), hint="", shrinks=True)
        arrived = subscriber.wait_for(lambda h: sum(m.topic == "p/alerts" for m in h) == 10)
        assert [m.payload.split(b" ")[0] for m in arrived if m.topic == "p/alerts"] == [b"%d" % n for n in range(10)]
        wait_until(lambda: answers == [None] * 10)
        subscriber.wait_for(lambda h: any(m.payload == picture for m in h))
        subscriber.publish("p/alarm/set", b"DISARM")
        assert heard.wait(DEADLINE)
        assert link.status().left_out == ()
    subscriber.wait_for(lambda h: h[-1].payload == b"offline")
    subscriber.close()


def test_h8_what_is_no_websocket_is_refused_in_one_line(make_broker: MakeBroker) -> None:
    broker = make_broker()
    with pytest.raises(BrokerError, match=f"ws://127.0.0.1:{broker.port}/mqtt") as caught:
        probe(settings(broker.port, websocket_path="/mqtt"), timeout=2.0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "address", "path"),
    [
        ("ws://broker", "ws://broker:80/mqtt", "/mqtt"),
        ("wss://broker/some/path", "wss://broker:443/some/path", "/some/path"),
        ("wss://broker:8443/", "wss://broker:8443/", "/"),
        ("mqtts://broker", "mqtts://broker:8883", None),
    ],
)
def test_h8_addresses(url: str, address: str, path: str | None) -> None:
    found = of(url, tls_name="other")
    assert (found.address, found.websocket_path, found.tls_name) == (address, path, "other")
    assert found.tls == url.startswith(("wss", "mqtts"))


@pytest.mark.parametrize(
    "url", ["mqtt://broker/path", "ws://user:secret@broker/", "wss://", "ws://b/?token=x", "http://b/"]
)
def test_h8_addresses_that_make_no_sense(url: str) -> None:
    with pytest.raises(ValueError, match=r"mqtt\.broker"):
        of(url)
