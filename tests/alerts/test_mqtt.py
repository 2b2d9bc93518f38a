"""The link against a real Mosquitto: connects, refusals, outages, retained state, the last will."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from detector.alerts.mqtt import MqttLink, MqttSettings, probe, settings_of
from detector.config import Config
from detector.errors import BrokerError, ConfigError
from detector.types import Message
from support.mosquitto import DEADLINE, Certificates, Mosquitto, Subscriber, free_port, make_certificates, wait_until
from support.post import WILL, running

MakeBroker = Callable[..., Mosquitto]
FAST_S = 0.2  # the longest pause between two attempts, in tests


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[MakeBroker]:
    made: list[Mosquitto] = []

    def make(**options: object) -> Mosquitto:
        broker = Mosquitto(tmp_path / f"broker{len(made)}", **options)  # type: ignore[arg-type]
        made.append(broker)
        broker.start()
        return broker

    yield make
    for broker in made:
        broker.kill()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def settings(port: int, **changes: object) -> MqttSettings:
    return dataclasses.replace(MqttSettings(host="127.0.0.1", port=port, client_id="detector-t"), **changes)  # type: ignore[arg-type]


def make_link(port: int, **options: object) -> MqttLink:
    known = {"settings": settings(port), "will": WILL, "max_delay_s": FAST_S}
    return MqttLink(**(known | options))  # type: ignore[arg-type]


def connected(link: MqttLink) -> None:
    wait_until(lambda: link.status().state == "connected", f"not connected: {link.status()}")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_publishes_and_hears_the_acknowledgement(make_broker: MakeBroker, protocol: str) -> None:
    broker = make_broker()
    subscriber = Subscriber(broker.port, "p/#")
    link = make_link(broker.port, settings=settings(broker.port, protocol=protocol))
    answers: list[str | None] = []
    answered = threading.Event()

    def on_ack(error: str | None) -> None:
        answers.append(error)
        answered.set()

    with running(link.run):
        connected(link)
        assert link.status().protocol == protocol
        assert link.publish(Message(topic="p/alerts", payload=b"one", qos=1), on_ack)
        assert answered.wait(DEADLINE)
        subscriber.wait_for(lambda h: any(m.payload == b"one" for m in h))
    subscriber.close()
    assert answers == [None]
    assert f"as detector-t (p{'5' if protocol == '5' else '2'}," in broker.log()  # Mosquitto calls 3.1.1 p2


def test_a_clean_stop_says_offline_and_sends_no_will(make_broker: MakeBroker) -> None:
    broker = make_broker()
    subscriber = Subscriber(broker.port, "p/available")
    link = make_link(broker.port)
    with running(link.run):
        subscriber.wait_for(lambda h: h and h[-1].payload == b"online")
    heard = subscriber.wait_for(lambda h: h[-1].payload == b"offline")
    subscriber.close()
    assert [m.payload for m in heard] == [b"online", b"offline"]
    assert link.status().state == "offline"


class OldBroker:
    """Speaks MQTT 3.1.1 as far as CONNACK; to a greeting in MQTT 5 it says `answer` and hangs up."""

    def __init__(self, answer: bytes) -> None:
        self.levels: list[int] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])

    def run(self, stop: threading.Event) -> None:
        self._listener.settimeout(0.05)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                client.settimeout(DEADLINE)
                self.levels.append(client.recv(1024)[8])  # fixed header 2, "MQTT" with its length 6
                if self.levels[-1] == 4:
                    client.sendall(b"\x20\x02\x00\x00")
                    self._open.append(client)
                else:
                    client.sendall(self._answer)
                    client.close()
        self.hang_up()
        self._listener.close()

    def say(self, packet: bytes) -> None:
        for client in self._open:
            client.sendall(packet)

    def hang_up(self) -> None:
        while self._open:
            self._open.pop().close()


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


def test_a_broker_that_comes_later_is_found(make_broker: MakeBroker) -> None:
    broker = make_broker()
    broker.stop()
    link = make_link(broker.port)
    with running(link.run):
        wait_until(lambda: link.status().state == "offline" and link.status().error)
        assert "cannot reach" in str(link.status().error)
        broker.start()
        connected(link)
        assert link.status().error is None


def test_retained_state_comes_back_after_the_broker_lost_it(make_broker: MakeBroker) -> None:
    broker = make_broker()
    link = make_link(broker.port)
    link.publish(Message(topic="p/porch/person", payload=b"1", retain=True))  # before any connection
    with running(link.run):
        connected(link)
        link.publish(Message(topic="p/porch/person", payload=b"2", retain=True))
        link.publish(Message(topic="p/porch/status", payload=b"online", qos=1, retain=True))
        link.publish(Message(topic="p/gone/status", payload=b"", qos=1, retain=True))
        wait_until(lambda: link.status().unacknowledged == 0)
        broker.kill()
        broker.start()
        wait_until(lambda: link.status().connects == 2)
        wait_until(lambda: link.status().unacknowledged == 0)
        subscriber = Subscriber(broker.port, "p/#")
        heard = subscriber.wait_for(lambda h: len(h) == 3)
        subscriber.close()
    found = {m.topic: (m.payload, m.retained) for m in heard}
    assert found == {
        "p/available": (b"online", True),
        "p/porch/person": (b"2", True),
        "p/porch/status": (b"online", True),
    }


def test_commands_arrive_and_retained_ones_do_not(make_broker: MakeBroker) -> None:
    broker = make_broker()
    operator = Subscriber(broker.port, "nothing")
    operator.publish("p/alarm/set", "DISARM", retain=True)  # left over from long ago
    heard: list[tuple[str, bytes]] = []
    link = make_link(
        broker.port,
        subscriptions=["p/alarm/set", "p/+/detect/set"],
        on_command=lambda topic, payload: heard.append((topic, payload)),
    )
    with running(link.run):
        wait_until(lambda: broker.log().count("Sending SUBACK to detector-t"))
        operator.publish("p/porch/detect/set", "OFF")
        wait_until(lambda: heard)
    operator.close()
    assert heard == [("p/porch/detect/set", b"OFF")]


def test_a_failing_listener_costs_nothing(make_broker: MakeBroker) -> None:
    broker = make_broker()
    operator = Subscriber(broker.port, "nothing")
    calls: list[bytes] = []

    def on_command(_topic: str, payload: bytes) -> None:
        calls.append(payload)
        raise RuntimeError("a bug elsewhere")

    link = make_link(broker.port, subscriptions=["p/set"], on_command=on_command)
    with running(link.run):
        wait_until(lambda: broker.log().count("Sending SUBACK to detector-t"))
        operator.publish("p/set", "1")
        operator.publish("p/set", "2")
        wait_until(lambda: calls == [b"1", b"2"])
        assert link.status().connects == 1
    operator.close()


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


def test_the_window_bounds_what_is_on_its_way(make_broker: MakeBroker) -> None:
    broker = make_broker()
    link = make_link(broker.port, window=5)
    room = threading.Event()
    link.listen(room.set)
    with running(link.run):
        connected(link)
        wait_until(lambda: link.status().unacknowledged == 0)
        broker.signal(signal.SIGSTOP)
        taken = [link.publish(Message(topic="p/x", payload=b"x", qos=1)) for _ in range(8)]
        assert taken == [True] * 5 + [False] * 3
        big = Message(topic="p/y", payload=bytes(3 << 20))
        assert [link.publish(big) for _ in range(5)].count(True) <= 3  # nor do bytes pile up
        room.clear()
        broker.signal(signal.SIGCONT)
        assert room.wait(DEADLINE)
        wait_until(lambda: link.publish(Message(topic="p/x", payload=b"x", qos=1)))


def test_what_was_on_its_way_is_unsent_when_the_connection_ends(make_broker: MakeBroker) -> None:
    broker = make_broker()
    link = make_link(broker.port)
    answers: list[str | None] = []
    with running(link.run):
        connected(link)
        wait_until(lambda: link.status().unacknowledged == 0)
        broker.signal(signal.SIGSTOP)
        assert link.publish(Message(topic="p/x", payload=b"x", qos=1), answers.append)
        broker.kill()
        wait_until(lambda: answers)
    assert len(answers) == 1
    assert "lost" in str(answers[0])


def test_a_refused_subscription_is_told() -> None:
    broker = OldBroker(b"")
    link = make_link(broker.port, flush_s=0.1, subscriptions=["p/alarm/set"])
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
        subscriber = Subscriber(broker.port, "p/porch/#")
        heard = subscriber.wait_for(lambda h: len(h) == 1)
        subscriber.close()
        assert heard[0].topic == "p/porch/person"
        assert link.status().connects == 1


def test_restating_says_all_retained_state_again(make_broker: MakeBroker) -> None:
    broker = make_broker()
    link = make_link(broker.port)
    link.publish(Message(topic="p/porch/person", payload=b"2", retain=True))
    with running(link.run):
        connected(link)
        wait_until(lambda: link.status().unacknowledged == 0)
        operator = Subscriber(broker.port, "p/#")
        operator.wait_for(lambda h: len(h) == 2)
        link.restate()
        heard = operator.wait_for(lambda h: len(h) == 4)
        operator.close()
    assert [(m.topic, m.retained) for m in heard[2:]] == [("p/porch/person", False), ("p/available", False)]


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


def test_the_last_will_is_heard_when_the_process_is_killed(make_broker: MakeBroker) -> None:
    broker = make_broker()
    subscriber = Subscriber(broker.port, "p/available")
    script = textwrap.dedent(f"""
        import threading
        from detector.alerts.mqtt import MqttLink, MqttSettings
        from detector.types import Message
        will = Message(topic="p/available", payload=b"offline", qos=1, retain=True)
        settings = MqttSettings(host="127.0.0.1", port={broker.port}, client_id="detector-t")
        MqttLink(settings=settings, will=will).run(threading.Event())
    """)
    with subprocess.Popen([sys.executable, "-c", script]) as child:
        try:
            subscriber.wait_for(lambda h: h and h[-1].payload == b"online")
        finally:
            child.kill()
    heard = subscriber.wait_for(lambda h: h[-1].payload == b"offline")
    subscriber.close()
    assert [m.payload for m in heard] == [b"online", b"offline"]


def test_settings_of_the_config() -> None:
    def of(**mqtt: object) -> MqttSettings:
        config = Config.model_validate(
            {"device": {"id": "yard"}, "cameras": {"porch": {"source": "a.mp4"}}, "mqtt": mqtt}
        )
        return settings_of(config, password=config.mqtt.password, embedded_port=4711)

    embedded = of(embedded={"host": "0.0.0.0"}, username="u", password="p")
    assert (embedded.address, embedded.protocols) == ("mqtt://127.0.0.1:4711", ("3.1.1",))
    assert embedded.client_id.startswith("detector-yard-")
    assert of(client_id="me").client_id == "me"
    remote = of(broker="mqtts://[::1]", username="u", password="p", client_id="me")
    assert (remote.address, remote.protocols, remote.client_id) == ("mqtts://[::1]:8883", ("5", "3.1.1"), "me")
    assert of(broker="mqtt://broker").port == 1883
