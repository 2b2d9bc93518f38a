"""The link against a real Mosquitto: connects, refusals, outages, retained state, the last will."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from detector.config.schema import Config
from detector.core.errors import BrokerError
from detector.core.types import Message
from detector.mqtt.client import DIAL_S, MqttSettings, settings_of
from support.links import MakeBroker, connected, make_link, settings
from support.messages import running
from support.mosquitto import DEADLINE, RecordingSubscriber, wait_until
from support.visits import StillClock


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_publishes_and_hears_the_acknowledgement(make_broker: MakeBroker, protocol: str) -> None:
    broker = make_broker()
    subscriber = RecordingSubscriber(broker.port, "p/#")
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
    subscriber = RecordingSubscriber(broker.port, "p/available")
    link = make_link(broker.port)
    with running(link.run):
        subscriber.wait_for(lambda h: h and h[-1].payload == b"online")
    heard = subscriber.wait_for(lambda h: h[-1].payload == b"offline")
    subscriber.close()
    assert [m.payload for m in heard] == [b"online", b"offline"]
    assert link.status().state == "offline"


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


def test_a_broker_that_was_away_for_some_seconds_is_found_within_five(make_broker: MakeBroker) -> None:
    broker = make_broker()
    link = make_link(broker.port, max_delay_s=30.0)  # as in the service
    with running(link.run):
        connected(link)
        broker.kill()
        time.sleep(3.0)
        heartbeat = link.progress_mono
        broker.start()
        began = time.monotonic()
        connected(link)
        assert time.monotonic() - began < 5.0
        assert link.progress_mono > heartbeat


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
        subscriber = RecordingSubscriber(broker.port, "p/#")
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
    operator = RecordingSubscriber(broker.port, "nothing")
    operator.publish("p/alarm/set", "DISARM", retain=True)  # left over from long ago
    heard: list[tuple[str, bytes]] = []
    link = make_link(broker.port)
    for topic_filter in ("p/alarm/set", "p/+/detect/set"):
        link.subscribe(topic_filter, lambda topic, payload: heard.append((topic, payload)))
    with running(link.run):
        wait_until(lambda: broker.log().count("Sending SUBACK to detector-t"))
        operator.publish("p/porch/detect/set", "OFF")
        wait_until(lambda: heard)
    operator.close()
    assert heard == [("p/porch/detect/set", b"OFF")]


def test_each_connect_is_told_with_this_machines_address(make_broker: MakeBroker) -> None:
    broker = make_broker()
    link = make_link(broker.port)
    addresses: list[str | None] = []
    link.listen_connected(lambda: addresses.append(link.status().local_address))
    assert link.status().local_address is None
    with running(link.run):
        wait_until(lambda: addresses == ["127.0.0.1"])
        broker.kill()
        wait_until(lambda: link.session() is None)
        assert link.status().local_address is None
        broker.start()
        wait_until(lambda: addresses == ["127.0.0.1"] * 2)


def test_a_failing_listener_costs_nothing(make_broker: MakeBroker) -> None:
    broker = make_broker()
    operator = RecordingSubscriber(broker.port, "nothing")
    calls: list[bytes] = []

    def on_command(_topic: str, payload: bytes) -> None:
        calls.append(payload)
        raise RuntimeError("a bug elsewhere")

    link = make_link(broker.port)
    link.subscribe("p/set", on_command)
    with running(link.run):
        wait_until(lambda: broker.log().count("Sending SUBACK to detector-t"))
        operator.publish("p/set", "1")
        operator.publish("p/set", "2")
        wait_until(lambda: calls == [b"1", b"2"])
        assert link.status().connects == 1
    operator.close()


def test_the_window_bounds_what_is_on_its_way(make_broker: MakeBroker) -> None:
    broker = make_broker()
    link = make_link(broker.port, window=5)
    free = threading.Event()
    link.listen(free.set)
    with running(link.run):
        connected(link)
        wait_until(lambda: link.status().unacknowledged == 0)
        broker.signal(signal.SIGSTOP)
        taken = [link.publish(Message(topic="p/x", payload=b"x", qos=1)) for _ in range(8)]
        assert taken == [True] * 5 + [False] * 3
        big = Message(topic="p/y", payload=bytes(3 << 20))
        assert [link.publish(big) for _ in range(5)].count(True) <= 3  # nor do bytes pile up
        free.clear()
        broker.signal(signal.SIGCONT)
        assert free.wait(DEADLINE)
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


def test_restating_says_all_retained_state_again(make_broker: MakeBroker) -> None:
    broker = make_broker()
    link = make_link(broker.port)
    link.publish(Message(topic="p/porch/person", payload=b"2", retain=True))
    with running(link.run):
        connected(link)
        wait_until(lambda: link.status().unacknowledged == 0)
        operator = RecordingSubscriber(broker.port, "p/#")
        operator.wait_for(lambda h: len(h) == 2)
        link.restate()
        heard = operator.wait_for(lambda h: len(h) == 4)
        operator.close()
    assert [(m.topic, m.retained) for m in heard[2:]] == [("p/porch/person", False), ("p/available", False)]


def test_the_last_will_is_heard_when_the_process_is_killed(make_broker: MakeBroker) -> None:
    broker = make_broker()
    subscriber = RecordingSubscriber(broker.port, "p/available")
    script = textwrap.dedent(f"""
        import threading
        from detector.mqtt.client import MqttClient, MqttSettings
        from detector.core.types import Message
        will = Message(topic="p/available", payload=b"offline", qos=1, retain=True)
        settings = MqttSettings(host="127.0.0.1", port={broker.port}, client_id="detector-t")
        MqttClient(settings=settings, will=will).run(threading.Event())
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


def test_a_dial_that_takes_its_time_is_no_hang_and_one_without_end_is(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, dialling, give_up = StillClock(mono=100.0), threading.Event(), threading.Event()

    def dial(*_: object, **__: object) -> None:
        dialling.set()
        give_up.wait(20)
        raise BrokerError("no route")

    monkeypatch.setattr("detector.mqtt.client.dial", dial)
    link = make_link(1, clock=clock)
    with running(link.run):
        assert dialling.wait(20)
        clock.now_mono = 100.0 + DIAL_S
        assert link.progress_mono == clock.now_mono
        clock.now_mono += 11.0
        assert link.progress_mono == clock.now_mono - 11.0
        give_up.set()
