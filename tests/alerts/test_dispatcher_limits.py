"""The dispatcher at its limits: full queues, no picture, refusals, draining."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import weakref
from pathlib import Path

import pytest

from detector.alerts.dispatcher import MAX_FIRSTS, Dispatcher
from detector.core.clock import SYSTEM_CLOCK
from detector.core.types import Box, Frame, Message
from support.dispatcher import TOPICS, encode, has, ids, running_dispatcher
from support.messages import make_alert, make_change, make_frame
from support.mosquitto import DEADLINE, Mosquitto, RecordingSubscriber, free_port, wait_until
from support.outboxes import on_disk


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_10000_events_offline_are_bounded_and_no_alert_is_among_the_dropped(tmp_path: Path) -> None:
    with running_dispatcher(tmp_path, free_port(), connect=False) as delivery:
        delivery.dispatcher.alert(make_alert(1))
        for number in range(500):  # what is made once, is made now
            delivery.dispatcher.change(make_change(number))
        wait_until(lambda: delivery.dispatcher.stats().waiting == 0)
        before = resident_bytes()
        for number in range(10_000):
            delivery.dispatcher.change(make_change(number))
            delivery.dispatcher.send(Message(topic="p/porch/motion", payload=b"ON"))
            delivery.dispatcher.send(Message(topic="p/porch/person", payload=b"1", retain=True))
        wait_until(lambda: delivery.dispatcher.stats().waiting == 0)
        assert resident_bytes() - before < 64 << 20  # the events' frames alone would be 576 MB
        stats, kept = delivery.dispatcher.stats(), delivery.outbox.stats()
        assert kept.pending_alerts == 1
        assert kept.pending_events + stats.dropped + kept.dropped_events >= 10_500
        assert delivery.pending() == ["alert-1"]


def test_a_full_queue_drops_the_oldest_and_counts(tmp_path: Path) -> None:
    encoding, go_on = threading.Event(), threading.Event()

    def slow(frame: Frame, box: Box, score: float, max_width: int | None) -> bytes:
        encoding.set()
        assert go_on.wait(DEADLINE)
        return encode(frame, box, score, max_width)

    with running_dispatcher(tmp_path, free_port(), connect=False, encode_snapshot=slow, max_waiting=10) as delivery:
        delivery.dispatcher.alert(make_alert(0))
        assert encoding.wait(DEADLINE)
        for number in range(25):
            delivery.dispatcher.change(make_change(number))
            delivery.dispatcher.alert(make_alert(100 + number))
        assert delivery.dispatcher.stats().dropped == 15
        go_on.set()
        wait_until(lambda: delivery.dispatcher.stats().waiting == 0)
        events = [entry.key for entry in delivery.waiting() if entry.kind == "event"]
        assert events == [f"event-{number}" for number in range(15, 25)]
        assert len(delivery.pending()) == 26


def test_an_alert_without_a_picture_still_goes_out(broker: Mosquitto, tmp_path: Path) -> None:
    def broken(_frame: Frame, _box: Box, _score: float, _width: int | None) -> bytes:
        raise RuntimeError("no encoder")

    subscriber = RecordingSubscriber(broker.port, "p/alerts")
    with running_dispatcher(tmp_path, broker.port, encode_snapshot=broken) as delivery:
        delivery.dispatcher.alert(make_alert(1))
        subscriber.wait_for(lambda h: ids(h) == ["alert-1"])
    subscriber.close()


def test_alerts_that_the_broker_refuses_wait_on_disk_and_events_go_on(tmp_path: Path) -> None:
    refusing = Mosquitto(tmp_path / "refusing", acl="topic readwrite p/#\ntopic deny p/alerts\n")
    refusing.start()
    subscriber = RecordingSubscriber(refusing.port, "p/events")
    with running_dispatcher(tmp_path, refusing.port, protocol="5") as delivery:
        wait_until(delivery.link.session)
        delivery.dispatcher.alert(make_alert(1))
        delivery.dispatcher.alert(make_alert(2))
        wait_until(lambda: delivery.dispatcher.stats().refusals >= 1)
        delivery.dispatcher.change(make_change(3))
        subscriber.wait_for(lambda h: len(h) == 1)
        assert delivery.pending() == ["alert-1", "alert-2"]
        assert delivery.dispatcher.stats().alerts_acknowledged == 0
    subscriber.close()
    refusing.kill()


def test_refused_alerts_are_tried_again(broker: Mosquitto, tmp_path: Path) -> None:
    acl = tmp_path / "broker2" / "acl"
    changing = Mosquitto(tmp_path / "broker2", acl="topic readwrite p/#\ntopic deny p/alerts\n")
    changing.start()
    with running_dispatcher(tmp_path, changing.port, protocol="5", retry_s=0.1) as delivery:
        for number in range(3):
            delivery.dispatcher.alert(make_alert(number))
        wait_until(lambda: delivery.dispatcher.stats().refusals >= 3)
        acl.write_text("topic readwrite p/#\n")
        changing.signal(signal.SIGHUP)
        wait_until(lambda: delivery.pending() == [])
        assert delivery.dispatcher.stats().alerts_acknowledged == 3
    changing.kill()


def test_state_is_told_in_its_last_value_and_without_a_broker_later(broker: Mosquitto, tmp_path: Path) -> None:
    broker.kill()
    with running_dispatcher(tmp_path, broker.port) as delivery:
        for number in range(5):
            delivery.dispatcher.send(Message(topic="p/porch/person", payload=b"%d" % number, retain=True))
        wait_until(lambda: delivery.dispatcher.stats().waiting == 0)
        broker.start()
        subscriber = RecordingSubscriber(broker.port, "p/porch/person")
        subscriber.wait_for(lambda h: h and h[-1].payload == b"4")
        delivery.dispatcher.send(Message(topic="p/porch/person", payload=b"5", retain=True))
        subscriber.wait_for(lambda h: h[-1].payload == b"5")
        subscriber.close()


def test_the_heartbeat_goes_on_while_there_is_nothing_to_do(tmp_path: Path) -> None:
    with running_dispatcher(tmp_path, free_port(), connect=False) as delivery:
        before = delivery.dispatcher.progress_mono
        wait_until(lambda: delivery.dispatcher.progress_mono > before)


def test_draining_without_a_broker_gives_all_on_and_returns(tmp_path: Path) -> None:
    with running_dispatcher(tmp_path, free_port(), connect=False) as delivery:
        delivery.dispatcher.alert(make_alert(5))
        assert delivery.dispatcher.drain(SYSTEM_CLOCK.mono() + DEADLINE)
        assert delivery.pending() == ["alert-5"]
    assert on_disk(tmp_path / "outbox.db") == ["alert-5"]


def test_draining_ends_at_its_deadline_when_nobody_answers(broker: Mosquitto, tmp_path: Path) -> None:
    with running_dispatcher(tmp_path, broker.port) as delivery:
        wait_until(lambda: "'p/available'" in broker.log())  # the last that goes out after a connect
        wait_until(lambda: delivery.link.status().unacknowledged == 0)
        broker.signal(signal.SIGSTOP)
        delivery.dispatcher.alert(make_alert(5))
        wait_until(lambda: delivery.link.status().unacknowledged == 1)
        assert not delivery.dispatcher.drain(SYSTEM_CLOCK.mono())
        assert delivery.pending() == ["alert-5"]
        broker.signal(signal.SIGCONT)
        wait_until(lambda: delivery.pending() == [])


def test_a_queue_holds_something() -> None:
    with pytest.raises(ValueError, match="max_waiting"):
        Dispatcher(
            outbox=None,  # type: ignore[arg-type]
            history=None,  # type: ignore[arg-type]
            link=None,  # type: ignore[arg-type]
            topics=TOPICS,
            device="yard",
            encode_snapshot=encode,
            max_waiting=0,
        )


def test_every_visit_has_a_picture_and_an_alerts_replaces_the_first(broker: Mosquitto, tmp_path: Path) -> None:
    def frame_number(frame: Frame, _box: Box, _score: float, _width: int | None) -> bytes:
        return b"%d" % frame.seq

    subscriber = RecordingSubscriber(broker.port, "p/#")
    with running_dispatcher(tmp_path, broker.port, encode_snapshot=frame_number) as delivery:
        wait_until(delivery.link.session)  # right after a connect alerts go first
        delivery.dispatcher.change(make_change(1))
        wait_until(lambda: delivery.history.snapshot("event-1") == b"1")
        alert = dataclasses.replace(make_alert(1), frame=make_frame(seq=7))
        delivery.dispatcher.alert(alert)
        wait_until(lambda: delivery.history.snapshot("event-1") == b"7")
        delivery.dispatcher.change(make_change(2, "update"))
        delivery.dispatcher.change(make_change(3, "end"))
        wait_until(lambda: delivery.history.event("event-3"))
        assert delivery.history.snapshot("event-2") is None
    heard = subscriber.wait_for(has("alert-1"))
    topics = [h.topic for h in heard if h.topic in ("p/alerts", "p/porch/person/snapshot")]
    assert topics == ["p/porch/person/snapshot", "p/alerts"], "the picture is there when the alert comes"
    subscriber.close()


def test_a_lost_picture_leaves_the_last_one_alone(broker: Mosquitto, tmp_path: Path) -> None:
    subscriber = RecordingSubscriber(broker.port, "p/#")
    with running_dispatcher(tmp_path, broker.port, encode_snapshot=lambda *_: None) as delivery:
        delivery.dispatcher.alert(make_alert(1))
        subscriber.wait_for(has("alert-1"))
        assert subscriber.last("p/porch/person/snapshot") is None
    subscriber.close()


def test_frames_of_many_new_visits_are_not_hoarded(tmp_path: Path) -> None:
    encoding, go_on = threading.Event(), threading.Event()

    def slow(frame: Frame, box: Box, score: float, max_width: int | None) -> bytes:
        encoding.set()
        assert go_on.wait(DEADLINE)
        return encode(frame, box, score, max_width)

    with running_dispatcher(tmp_path, free_port(), connect=False, encode_snapshot=slow) as delivery:
        delivery.dispatcher.alert(make_alert(0))
        assert encoding.wait(DEADLINE)  # the dispatcher stands still now
        frames = []
        for number in range(200):
            change = make_change(number)
            frames.append(weakref.ref(change.frame.image.bgr()))
            delivery.dispatcher.change(change)
        del change
        held = sum(frame() is not None for frame in frames)
        go_on.set()
        wait_until(lambda: delivery.dispatcher.stats().waiting == 0)
        assert 1 <= held <= MAX_FIRSTS
        wait_until(lambda: delivery.history.snapshot("event-199") is not None)
        assert delivery.history.event("event-1") is not None
        assert delivery.history.snapshot("event-1") is None
