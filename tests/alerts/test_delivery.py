"""Delivery against a scripted broker: order, pauses, and what a number of sessions without an answer mean."""

from __future__ import annotations

import json
import time
from pathlib import Path

from support.dispatcher import running_dispatcher
from support.messages import make_alert, make_change, running
from support.mosquitto import wait_until
from support.picky_broker import Dislikes, PickyBroker


def numbers(broker: PickyBroker) -> list[int]:
    return [json.loads(one.payload)["seq"] for one in list(broker.taken) if one.topic == "p/alerts"]


def test_what_was_not_acknowledged_is_sent_again_in_order_and_marked(tmp_path: Path) -> None:
    broker = PickyBroker(Dislikes(acknowledges=False))
    with running(broker.run), running_dispatcher(tmp_path, broker.port) as delivery:
        wait_until(delivery.link.session)
        for number in range(5):
            delivery.dispatcher.alert(make_alert(number))
        wait_until(lambda: numbers(broker) == [1, 2, 3, 4, 5])
        broker.change_mind(Dislikes())
        wait_until(lambda: delivery.pending() == [])
    alerts = [json.loads(one.payload) for one in broker.taken if one.topic == "p/alerts"]
    assert [alert["seq"] for alert in alerts] == [1, 2, 3, 4, 5] * 2
    assert [alert["replayed"] for alert in alerts] == [False] * 5 + [True] * 5


def test_alerts_that_end_the_connection_pause_and_are_tried_again(tmp_path: Path) -> None:
    broker = PickyBroker(Dislikes(topic=lambda topic: topic == "p/alerts"))
    with running(broker.run), running_dispatcher(tmp_path, broker.port, retry_s=1.0, protocol="3.1.1") as delivery:
        wait_until(delivery.link.session)
        delivery.dispatcher.alert(make_alert(1))
        delivery.dispatcher.change(make_change(1))
        wait_until(lambda: "p/events" in broker.topics())
        assert delivery.dispatcher.stats().refusals >= 1
        broker.change_mind(Dislikes())
        began = time.monotonic()
        wait_until(lambda: delivery.pending() == [])
        assert time.monotonic() - began < 5.0
    assert numbers(broker) == [1]


def test_after_a_loss_one_alert_goes_alone_until_one_is_acknowledged(tmp_path: Path) -> None:
    """Which of many ends the connection is found by sending one at a time, without a pause for a broker that died."""
    broker = PickyBroker(Dislikes(acknowledges=False))
    with running(broker.run), running_dispatcher(tmp_path, broker.port) as delivery:
        wait_until(delivery.link.session)
        for number in range(10):
            delivery.dispatcher.alert(make_alert(number))
        wait_until(lambda: len(numbers(broker)) == 10)
        broker.change_mind(Dislikes(acknowledges=False))
        wait_until(lambda: len(numbers(broker)) == 11)
        time.sleep(0.3)
        assert numbers(broker)[10:] == [1]
        broker.change_mind(Dislikes())
        wait_until(lambda: delivery.pending() == [])
        assert delivery.dispatcher.stats().refusals == 0
    assert numbers(broker)[11:] == list(range(1, 11))


def test_each_alert_is_measured_once_when_it_is_acknowledged(tmp_path: Path) -> None:
    measured: list[tuple[dict[str, float], float]] = []
    broker = PickyBroker(Dislikes(acknowledges=False))
    with (
        running(broker.run),
        running_dispatcher(tmp_path, broker.port, on_delivered=lambda *one: measured.append(one)) as delivery,
    ):
        wait_until(delivery.link.session)
        for number in range(3):
            delivery.dispatcher.alert(make_alert(number))
        wait_until(lambda: len(numbers(broker)) == 3)
        assert measured == [], "what nobody has acknowledged has not arrived"
        broker.change_mind(Dislikes())
        wait_until(lambda: delivery.pending() == [])
        wait_until(lambda: len(measured) == 3)
    last = [json.loads(one.payload)["latency_ms"] for one in broker.taken if one.topic == "p/alerts"][-3:]
    assert [latency_ms for latency_ms, _ in measured] == last, "those of the message that arrived"
    assert all(0.0 <= acknowledged_s < 10.0 for _, acknowledged_s in measured)
