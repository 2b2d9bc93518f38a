"""The dispatcher with the real outbox, history, link and brokers: no alert is lost, whatever dies."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest

from detector.alerts.outbox import Outbox
from detector.alerts.payloads import alert_payload
from detector.core.types import ArrayImage, TamperAlert
from detector.mqtt.broker.server import EmbeddedBroker
from support.dispatcher import alerts_in, encode, has, has_all, ids, running_dispatcher
from support.messages import make_alert, make_change, make_frame, running
from support.mosquitto import Heard, Mosquitto, RecordingSubscriber, free_port, wait_until
from support.outboxes import on_disk
from support.schemas import load_schema


def test_an_alert_arrives_with_its_picture_and_is_forgotten_once_acknowledged(
    broker: Mosquitto, tmp_path: Path
) -> None:
    subscriber = RecordingSubscriber(broker.port, "p/#")
    with running_dispatcher(tmp_path, broker.port) as delivery:
        wait_until(delivery.link.session)
        delivery.dispatcher.change(make_change(7))
        delivery.dispatcher.alert(make_alert(7))
        heard = subscriber.wait_for(lambda h: {"p/events", "p/alerts"} <= {m.topic for m in h})
        wait_until(lambda: delivery.waiting() == [])
        wait_until(lambda: delivery.history.snapshot("event-7"))
        event, picture = delivery.history.event("event-7"), delivery.history.snapshot("event-7")
        wait_until(lambda: delivery.dispatcher.stats().events_acknowledged == 1)
        assert delivery.dispatcher.stats().alerts_acknowledged == 1
    subscriber.close()
    (alert,) = alerts_in(heard)
    jsonschema.validate(alert, load_schema("alert"))
    (change,) = [json.loads(m.payload) for m in heard if m.topic == "p/events"]
    jsonschema.validate(change, load_schema("event"))
    assert (alert["id"], alert["seq"], alert["replayed"]) == ("alert-7", 1, False)
    assert alert["latency_ms"]["confirm_to_publish"] >= 0
    topics = [m.topic for m in heard]
    assert topics.index("p/porch/person/snapshot") < topics.index("p/alerts")
    (sent,) = [m.payload for m in heard if m.topic == "p/porch/person/snapshot"]
    told = make_alert(7)
    assert sent == picture == encode(told.frame, told.box, told.score, None)  # of the very frame
    decoded = cv2.imdecode(np.frombuffer(sent, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (120, 160, 3)
    assert event is not None
    assert "alert-7" in json.dumps(event)


def test_night_08_tampering_is_told_on_a_topic_of_its_own(tmp_path: Path, broker: Mosquitto) -> None:
    subscriber = RecordingSubscriber(broker.port, "p/tamper")
    with running_dispatcher(tmp_path, broker.port) as delivery:
        alert = TamperAlert(id="t1", camera="porch", kind="covered", wall=1_790_000_000.25)
        delivery.dispatcher.tamper(alert)
        heard = subscriber.wait_for(lambda h: h)
        wait_until(lambda: delivery.waiting() == [])
    subscriber.close()
    (document,) = [json.loads(message.payload) for message in heard]
    jsonschema.validate(document, load_schema("tamper"))
    assert (document["camera"], document["reason"]) == ("porch", "covered")
    assert document["captured_at"] == "2026-09-21T14:13:20.250Z"


def test_a_large_picture_is_told_small_and_kept_whole(broker: Mosquitto, tmp_path: Path) -> None:
    subscriber = RecordingSubscriber(broker.port, "p/#")
    image = ArrayImage(np.full((90, 1920, 3), 90, np.uint8))
    told = dataclasses.replace(make_alert(7), frame=dataclasses.replace(make_frame(seq=7), image=image))
    with running_dispatcher(tmp_path, broker.port) as delivery:
        delivery.dispatcher.alert(told)
        heard = subscriber.wait_for(has("alert-7"))
        wait_until(lambda: delivery.history.snapshot(told.event_id))
        kept = delivery.history.snapshot(told.event_id)
    subscriber.close()
    (sent,) = [m.payload for m in heard if m.topic == "p/porch/person/snapshot"]
    assert sent == encode(told.frame, told.box, told.score, 960)
    assert kept == encode(told.frame, told.box, told.score, None)


def test_u4_the_pictures_address_is_made_when_the_alert_is_sent(broker: Mosquitto, tmp_path: Path) -> None:
    made: list[str] = []

    def address(path: str) -> str:
        made.append(path)
        return f"http://h{path}?expires={len(made)}&signature={'0' * 32}"

    # Known to the broker from before: the alert may be back sooner than a new subscriber.
    subscriber = RecordingSubscriber(broker.port, "p/alerts", durable="address")
    broker.save()
    broker.kill()
    with running_dispatcher(tmp_path, broker.port, snapshot_url=address) as delivery:
        delivery.dispatcher.alert(make_alert(7))
        wait_until(delivery.pending)
        assert made == [], "after an outage it would have expired on the way"
        broker.start()
        heard = subscriber.wait_for(has("alert-7"))
        subscriber.close()
    alert = alerts_in(heard)[-1]
    jsonschema.validate(alert, load_schema("alert"))
    assert alert["snapshot_url"] == f"http://h{alert['snapshot']}?expires={len(made)}&signature={'0' * 32}"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_nothing_is_lost_when_the_broker_is_killed_mid_stream(broker: Mosquitto, tmp_path: Path, protocol: str) -> None:
    subscriber = RecordingSubscriber(broker.port, "p/alerts", durable="ledger")
    broker.save()
    count = 120
    with running_dispatcher(tmp_path, broker.port, protocol=protocol) as delivery:
        wait_until(delivery.link.session)
        for start in (0, 40, 80):
            for number in range(start, start + 40):
                delivery.dispatcher.alert(make_alert(number))
            if start < 80:
                subscriber.wait_for(has(f"alert-{start + 5}"))
                # What it wrote must come through: a socket that dies with unread bytes takes unsent ones along.
                broker.signal(signal.SIGSTOP)
                time.sleep(0.1)
                broker.kill()
                broker.start()
                # What the broker acknowledged and holds for an absent subscriber would die with it.
                subscriber.wait_for(has_all(start + 40))
        heard = subscriber.wait_for(has_all(count))
        wait_until(lambda: delivery.pending() == [])
        assert delivery.link.status().connects >= 3
    subscriber.close()
    first = list(dict.fromkeys(ids(heard)))
    assert first == [f"alert-{number}" for number in range(count)]  # in order, each there
    assert all(a["seq"] == int(a["id"].split("-")[1]) + 1 for a in alerts_in(heard))
    for name, times in Counter(ids(heard)).items():
        copies = [a for a in alerts_in(heard) if a["id"] == name]
        assert times == 1 or all(a["replayed"] for a in copies[1:])


def test_the_embedded_broker_gets_all_too(tmp_path: Path) -> None:
    port, count = free_port(), 60
    heard: list[Heard] = []
    with running_dispatcher(tmp_path, port, protocol="3.1.1") as delivery:
        for start in (0, 30):
            with running(EmbeddedBroker(port=port).run):
                wait_until(delivery.link.session)
                subscriber = RecordingSubscriber(port, "p/alerts")
                for number in range(start, start + 30):
                    delivery.dispatcher.alert(make_alert(number))
                heard += subscriber.wait_for(lambda h: len(set(ids(h))) == 30)
                wait_until(lambda: delivery.pending() == [])
                subscriber.close()
            wait_until(lambda: delivery.link.session() is None)
    assert list(dict.fromkeys(ids(heard))) == [f"alert-{number}" for number in range(count)]


def test_a_backlog_goes_out_in_order_alerts_first_and_says_that_it_is_late(broker: Mosquitto, tmp_path: Path) -> None:
    subscriber = RecordingSubscriber(broker.port, "p/#", durable="ledger")
    broker.save()
    broker.kill()
    with running_dispatcher(tmp_path, broker.port) as delivery:
        for number in range(30):
            delivery.dispatcher.change(make_change(number))
            delivery.dispatcher.alert(make_alert(number))
        wait_until(lambda: len(delivery.waiting()) == 60)
        subscriber.heard.clear()
        broker.start()
        heard = subscriber.wait_for(
            lambda h: len(set(ids(h))) == 30 and sum(m.topic == "p/events" for m in h) >= 30, "the backlog did not come"
        )
        wait_until(lambda: delivery.waiting() == [])
        delivery.dispatcher.alert(make_alert(99))
        heard = subscriber.wait_for(lambda h: "alert-99" in ids(h))
    subscriber.close()
    late, (live,) = alerts_in(heard)[:-1], alerts_in(heard)[-1:]
    assert [a["id"] for a in late] == [f"alert-{number}" for number in range(30)]
    assert all(a["replayed"] for a in late)
    assert not live["replayed"]
    assert all(a["published_at"] >= a["confirmed_at"] for a in late)
    topics = [m.topic for m in heard if m.topic in ("p/alerts", "p/events")]
    assert topics[:60] == ["p/alerts"] * 30 + ["p/events"] * 30
    events = [json.loads(m.payload)["after"]["id"] for m in heard if m.topic == "p/events"]
    assert events == [f"event-{number}" for number in range(30)]


_CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from support.dispatcher import running_dispatcher
from support.messages import make_alert
from support.mosquitto import wait_until
with running_dispatcher(Path(sys.argv[2]), int(sys.argv[3])) as delivery:
    for number in range(10_000):
        wait_until(lambda: len(delivery.pending()) < 40)
        delivery.dispatcher.alert(make_alert(number))
        print(number, flush=True)
"""


def test_what_a_killed_process_owed_is_sent_by_the_next(broker: Mosquitto, tmp_path: Path) -> None:
    subscriber = RecordingSubscriber(broker.port, "p/#")
    tests = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", _CHILD, tests, str(tmp_path), str(broker.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        try:
            subscriber.wait_for(lambda h: len(ids(h)) >= 20)
            broker.signal(signal.SIGSTOP)  # some are on their way, acknowledged by nobody
            assert child.stdout is not None
            for _ in range(30):
                child.stdout.readline()
        finally:
            child.kill()
    broker.signal(signal.SIGCONT)
    subscriber.wait_for(lambda h: h[-1].payload == b"offline", "no last will")
    owed = on_disk(tmp_path / "outbox.db")
    assert owed
    before = len(subscriber.heard)
    with running_dispatcher(tmp_path, broker.port) as delivery:
        subscriber.wait_for(lambda h: set(owed) <= set(ids(h[before:])))
        wait_until(lambda: delivery.pending() == [])
    heard = subscriber.wait_for(lambda h: h[-1].payload == b"offline")
    subscriber.close()
    assert all(a["replayed"] for a in alerts_in(heard[before:]))
    numbers = sorted({a["seq"] for a in alerts_in(heard)})
    assert numbers == list(range(1, len(numbers) + 1))  # every one that was ever written has come


def test_an_alert_that_a_kill_kept_from_the_history_is_there_after_the_next_start(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """Delivered and acknowledged, but the process died before its history was written."""
    with closing(Outbox(tmp_path / "outbox.db")) as outbox:
        for number in (1, 2):
            document = alert_payload(make_alert(number), device="yard", seq=0)
            entry = outbox.put(
                kind="alert", key=f"alert-{number}", topic="p/alerts", document=document, created_wall=1.0
            )
        outbox.acknowledged([entry.seq])
    with running_dispatcher(tmp_path, broker.port) as delivery:
        wait_until(lambda: delivery.pending() == [] and delivery.outbox.stats().pending_alerts == 0)
        for number in (1, 2):
            event = delivery.history.event(f"event-{number}")
            assert event is not None
            assert [alert["seq"] for alert in event["alerts"]] == [number]
