"""Brokers that end the connection at what they do not like: alerts arrive all the same, and the culprit is named."""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path

import numpy as np
import pytest

from detector.alerts.homeassistant import discovery_message
from detector.config.schema import Device
from detector.core.types import Alert, ArrayImage, Message
from support.dispatcher import TOPICS, RunningDispatcher, has, ids, running_dispatcher
from support.messages import make_alert, make_change, running
from support.mosquitto import Mosquitto, RecordingSubscriber, wait_until
from support.picky_broker import Dislikes, PickyBroker

DISCOVERY = discovery_message(
    device=Device(id="yard"), cameras=["porch"], topics=TOPICS, discovery_prefix="homeassistant", version="1"
)
HINT = "mqtt.discovery_prefix: null turns discovery off"
COMMANDS = ("p/alarm/set", "p/+/detect/set", "homeassistant/status")
LIMIT = 65_536


def noisy_alert(number: int) -> Alert:
    """An alert whose picture takes more than 64 KiB as JPEG."""
    pixels = np.random.default_rng(number).integers(0, 256, (360, 480, 3), np.uint8)
    made = make_alert(number)
    return dataclasses.replace(made, frame=dataclasses.replace(made.frame, image=ArrayImage(pixels)))


def arrived(broker: PickyBroker, *names: str) -> bool:
    payloads = [one.payload for one in list(broker.taken) if one.topic == "p/alerts"]
    return all(any(f'"{name}"'.encode() in payload for payload in payloads) for name in names)


def speak(delivery: RunningDispatcher) -> None:
    """What a start says, and an alert."""
    delivery.dispatcher.send(DISCOVERY, hint=HINT)
    delivery.dispatcher.people("porch", 1)
    delivery.dispatcher.camera_status("porch", "online")
    delivery.dispatcher.alert(noisy_alert(1))
    delivery.dispatcher.change(make_change(1))


def picture(broker: PickyBroker) -> bytes | None:
    return next((one.payload for one in list(broker.taken) if one.topic == "p/porch/person/snapshot"), None)


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_h1_a_broker_with_a_limit_gets_alerts_at_once_and_the_picture_smaller(tmp_path: Path, protocol: str) -> None:
    broker = PickyBroker(Dislikes(larger_than=LIMIT))
    with running(broker.run), running_dispatcher(tmp_path, broker.port, protocol=protocol) as delivery:
        wait_until(delivery.link.session)
        began = time.monotonic()
        speak(delivery)
        wait_until(lambda: arrived(broker, "alert-1"), "the alert")
        assert time.monotonic() - began < 5.0
        wait_until(lambda: picture(broker), "the picture, smaller")
        found = picture(broker)
        assert found is not None
        assert found[:2] == b"\xff\xd8"
        assert 1024 < len(found) < LIMIT
        wait_until(lambda: {"p/available", "p/porch/person", DISCOVERY.topic} <= set(broker.topics()))
        assert any("p/porch/person/snapshot" in line for line in delivery.link.status().left_out)
        sessions = broker.sessions
        delivery.dispatcher.alert(noisy_alert(2))
        wait_until(lambda: arrived(broker, "alert-2"))
        assert broker.sessions == sessions, "the next picture is small at once"
        wait_until(lambda: delivery.pending() == [])


def test_h1_mosquitto_with_a_message_size_limit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broker = Mosquitto(tmp_path / "broker", options=[f"message_size_limit {LIMIT}"])
    broker.start()
    subscriber = RecordingSubscriber(broker.port, "p/#", "homeassistant/#")
    with running_dispatcher(tmp_path, broker.port, protocol="3.1.1", subscriptions=COMMANDS) as delivery:
        wait_until(delivery.link.session)
        speak(delivery)
        subscriber.wait_for(has("alert-1"))
        subscriber.wait_for(
            lambda h: {"p/porch/person/snapshot", "p/available", DISCOVERY.topic} <= {m.topic for m in h}
        )
        delivery.dispatcher.alert(noisy_alert(2))
        heard = subscriber.wait_for(has("alert-2"))
        assert ids(heard)[-1] == "alert-2"
    subscriber.close()
    broker.kill()
    assert "message_size_limit" in caplog.text


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.parametrize(
    ("forbidden", "left"),
    [
        ("homeassistant/device/yard/config", "discovery_prefix: null"),
        ("p/porch/person", "access rules"),
        ("p/porch/status", "access rules"),
        ("p/porch/motion", "access rules"),
        ("p/available", "access rules"),
    ],
)
def test_h2_a_forbidden_topic_is_left_out_and_named(
    tmp_path: Path, protocol: str, forbidden: str, left: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = PickyBroker(Dislikes(topic=lambda topic: topic == forbidden))
    with running(broker.run), running_dispatcher(tmp_path, broker.port, protocol=protocol) as delivery:
        wait_until(delivery.link.session)
        began = time.monotonic()
        speak(delivery)
        wait_until(lambda: arrived(broker, "alert-1"))
        assert time.monotonic() - began < 5.0

        def named() -> bool:
            delivery.dispatcher.motion("porch", True)  # not retained: it is offered now or never
            return any(forbidden in line and left in line for line in delivery.link.status().left_out)

        wait_until(named)
        others = {"p/available", "p/porch/person", "p/porch/status", DISCOVERY.topic, "p/events"} - {forbidden}
        wait_until(lambda: others <= set(broker.topics()))
        wait_until(lambda: delivery.link.status().state == "connected")
    warnings = [
        one.message for one in caplog.records if one.levelno == logging.WARNING and f"take {forbidden} (" in one.message
    ]
    assert len(warnings) == 1


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_h2_a_forbidden_subscription_is_left_out_and_the_others_stand(tmp_path: Path, protocol: str) -> None:
    broker = PickyBroker(Dislikes(subscription=lambda one: one == "homeassistant/status"))
    with (
        running(broker.run),
        running_dispatcher(tmp_path, broker.port, protocol=protocol, subscriptions=COMMANDS) as delivery,
    ):
        speak(delivery)
        wait_until(lambda: arrived(broker, "alert-1"))
        wait_until(lambda: set(COMMANDS[:2]) <= set(broker.subscribed))
        wait_until(lambda: any("homeassistant/status" in line for line in delivery.link.status().left_out))
        wait_until(lambda: DISCOVERY.topic in broker.topics())


def test_h2_forbidden_alerts_wait_and_all_else_goes_on(tmp_path: Path) -> None:
    broker = PickyBroker(Dislikes(topic=lambda topic: topic == "p/alerts"))
    with running(broker.run), running_dispatcher(tmp_path, broker.port, protocol="3.1.1") as delivery:
        wait_until(delivery.link.session)
        speak(delivery)
        wait_until(
            lambda: {"p/events", "p/available", DISCOVERY.topic, "p/porch/person/snapshot"} <= set(broker.topics())
        )
        assert delivery.pending() == ["alert-1"]
        assert delivery.dispatcher.stats().refusals >= 1
        broker.change_mind(Dislikes())


def test_after_a_connect_alerts_go_first_then_events_then_states_then_the_rest(tmp_path: Path) -> None:
    broker = PickyBroker(Dislikes())
    with running_dispatcher(tmp_path, broker.port) as delivery:
        speak(delivery)
        for number in range(2, 60):  # more than the window takes at once
            delivery.dispatcher.alert(make_alert(number))
            delivery.dispatcher.change(make_change(number))
        wait_until(lambda: delivery.dispatcher.stats().waiting == 0)
        with running(broker.run):
            wait_until(lambda: {DISCOVERY.topic, "p/porch/person/snapshot"} <= set(broker.topics()))
            topics = [one.topic for one in broker.taken]
            wait_until(lambda: delivery.pending() == [])
            delivery.dispatcher.drain(time.monotonic() + 5)
    assert topics[:118] == ["p/alerts"] * 59 + ["p/events"] * 59
    assert set(topics[118:121]) == {"p/porch/person", "p/porch/status", "p/available"}
    assert topics[120] == "p/available"
    assert set(topics[121:]) == {DISCOVERY.topic, "p/porch/person/snapshot"}


def test_an_alert_that_comes_while_something_is_on_trial_does_not_wait(tmp_path: Path) -> None:
    """The broker takes the picture but never answers; the alert goes out behind it at once."""
    broker = PickyBroker(Dislikes(topic=lambda topic: topic == DISCOVERY.topic))
    with running(broker.run), running_dispatcher(tmp_path, broker.port, protocol="3.1.1") as delivery:
        wait_until(delivery.link.session)
        for number in range(30):
            began = time.monotonic()
            delivery.dispatcher.send(DISCOVERY, hint=HINT)
            delivery.dispatcher.alert(make_alert(number))
            wait_until(lambda number=number: arrived(broker, f"alert-{number}"))  # type: ignore[misc]
            assert time.monotonic() - began < 5.0


def test_a_broker_that_never_acknowledges_is_told_by_number_and_age(tmp_path: Path) -> None:
    broker = PickyBroker(Dislikes(acknowledges=False))
    with running(broker.run), running_dispatcher(tmp_path, broker.port, protocol="3.1.1") as delivery:
        wait_until(delivery.link.session)
        for number in range(3):
            delivery.dispatcher.alert(make_alert(number))
        wait_until(lambda: delivery.link.status().unacknowledged >= 3)
        first = delivery.link.status().unacknowledged_s
        assert first is not None
        time.sleep(0.3)
        later = delivery.link.status().unacknowledged_s
        assert later is not None
        assert later >= first + 0.25
        assert delivery.pending() == [f"alert-{number}" for number in range(3)]
        broker.change_mind(Dislikes())


def test_a_broker_that_dies_again_and_again_is_not_taken_for_a_picky_one(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "broker")
    broker.start()
    with running_dispatcher(tmp_path, broker.port) as delivery:
        speak(delivery)
        for _ in range(6):
            wait_until(delivery.link.session)
            delivery.dispatcher.send(Message(topic="p/porch/person", payload=b"2", retain=True))
            broker.kill()
            wait_until(lambda: delivery.link.session() is None)
            time.sleep(0.3)  # tried in vain meanwhile
            broker.start()
        wait_until(lambda: delivery.pending() == [])
        assert delivery.link.status().left_out == ()
    broker.kill()
