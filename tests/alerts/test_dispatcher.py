"""The dispatcher with the real outbox, history, link and brokers: no alert is lost, whatever dies."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

from detector.alerts.broker import EmbeddedBroker
from detector.alerts.darkroom import Darkroom, EncodeSnapshot
from detector.alerts.dispatcher import MAX_FIRSTS, Dispatcher
from detector.alerts.history import History
from detector.alerts.mqtt import MqttLink, MqttSettings
from detector.alerts.outbox import ResilientOutbox
from detector.alerts.payloads import Topics, load_schema
from detector.clock import SYSTEM_CLOCK
from detector.picture import Label, encode_jpeg
from detector.types import Box, Frame, Message
from support.mosquitto import DEADLINE, Heard, Mosquitto, Subscriber, free_port, wait_until
from support.post import WILL, make_alert, make_change, make_frame, running

TOPICS = Topics("p")


def encode(frame: Frame, box: Box, _score: float) -> bytes:
    return encode_jpeg(frame.image, [Label(box=box, text="person")])


@dataclass
class Room:
    """A post room on `folder`; its threads run inside `open_room`."""

    outbox: ResilientOutbox
    history: History
    link: MqttLink
    dispatcher: Dispatcher

    def pending(self) -> list[str]:
        return [entry.key for entry in self.outbox.pending(100_000) if entry.kind == "alert"]


@contextlib.contextmanager
def open_room(
    folder: Path,
    port: int,
    *,
    encode_snapshot: EncodeSnapshot = encode,
    protocol: str = "auto",
    connect: bool = True,
    **options: Any,
) -> Iterator[Room]:
    settings = MqttSettings(host="127.0.0.1", port=port, client_id="detector-t", protocol=protocol)  # type: ignore[arg-type]
    link = MqttLink(settings=settings, will=WILL, max_delay_s=0.2)
    with contextlib.ExitStack() as stack:
        outbox = ResilientOutbox(folder / "outbox.db")
        stack.callback(outbox.close)
        history = History(path=folder / "history.db", snapshot_dir=folder / "snapshots")
        stack.callback(history.close)
        dispatcher = Dispatcher(
            outbox=outbox,
            history=history,
            link=link,
            topics=TOPICS,
            device="yard",
            darkroom=Darkroom(encode=encode_snapshot),
            **options,
        )
        if connect:
            stack.enter_context(running(link.run))
        stack.callback(lambda: dispatcher.drain(SYSTEM_CLOCK.mono() + DEADLINE))
        stack.enter_context(running(dispatcher.run))
        yield Room(outbox, history, link, dispatcher)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    # It keeps the subscriber's session over its own death, so that what it acknowledged is delivered.
    broker = Mosquitto(tmp_path / "broker", persistent=True, options=["max_queued_messages 0"])
    broker.start()
    yield broker
    broker.kill()


def alerts_in(heard: list[Heard]) -> list[dict[str, Any]]:
    return [json.loads(m.payload) for m in heard if m.topic == "p/alerts"]


def ids(heard: list[Heard]) -> list[str]:
    return [alert["id"] for alert in alerts_in(heard)]


def has(name: str) -> Callable[[list[Heard]], bool]:
    return lambda heard: name in ids(heard)


def has_all(count: int) -> Callable[[list[Heard]], bool]:
    return lambda heard: len(set(ids(heard))) == count


def test_an_alert_arrives_with_its_picture_and_is_forgotten_once_acknowledged(
    broker: Mosquitto, tmp_path: Path
) -> None:
    subscriber = Subscriber(broker.port, "p/#")
    with open_room(tmp_path, broker.port) as room:
        wait_until(room.link.session)
        room.dispatcher.submit(make_change(7))
        room.dispatcher.submit(make_alert(7))
        heard = subscriber.wait_for(lambda h: {"p/events", "p/alerts"} <= {m.topic for m in h})
        wait_until(lambda: room.outbox.pending(10) == [])
        event, picture = room.history.event("event-7"), room.history.snapshot("event-7")
        wait_until(lambda: room.dispatcher.stats().events_acknowledged == 1)
        assert room.dispatcher.stats().alerts_acknowledged == 1
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
    assert sent == picture == encode(told.frame, told.box, told.score)  # of the very frame
    decoded = cv2.imdecode(np.frombuffer(sent, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (120, 160, 3)
    assert event is not None
    assert "alert-7" in json.dumps(event)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_nothing_is_lost_when_the_broker_is_killed_mid_stream(broker: Mosquitto, tmp_path: Path, protocol: str) -> None:
    subscriber = Subscriber(broker.port, "p/alerts", durable="ledger")
    broker.save()
    count = 120
    with open_room(tmp_path, broker.port, protocol=protocol) as room:
        wait_until(room.link.session)
        for start in (0, 40, 80):
            for number in range(start, start + 40):
                room.dispatcher.submit(make_alert(number))
            if start < 80:
                subscriber.wait_for(has(f"alert-{start + 5}"))
                broker.kill()
                broker.start()
                # What the broker acknowledged and holds for an absent subscriber would die with it.
                subscriber.wait_for(has_all(start + 40))
        heard = subscriber.wait_for(has_all(count))
        wait_until(lambda: room.pending() == [])
        assert room.link.status().connects >= 3
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
    with open_room(tmp_path, port, protocol="3.1.1") as room:
        for start in (0, 30):
            with running(EmbeddedBroker(port=port).run):
                wait_until(room.link.session)
                subscriber = Subscriber(port, "p/alerts")
                for number in range(start, start + 30):
                    room.dispatcher.submit(make_alert(number))
                heard += subscriber.wait_for(lambda h: len(set(ids(h))) == 30)
                wait_until(lambda: room.pending() == [])
                subscriber.close()
            wait_until(lambda: room.link.session() is None)
    assert list(dict.fromkeys(ids(heard))) == [f"alert-{number}" for number in range(count)]


def test_a_backlog_goes_out_in_order_alerts_first_and_says_that_it_is_late(broker: Mosquitto, tmp_path: Path) -> None:
    subscriber = Subscriber(broker.port, "p/#", durable="ledger")
    broker.save()
    broker.kill()
    with open_room(tmp_path, broker.port) as room:
        for number in range(30):
            room.dispatcher.submit(make_change(number))
            room.dispatcher.submit(make_alert(number))
        wait_until(lambda: len(room.outbox.pending(100)) == 60)
        subscriber.heard.clear()
        broker.start()
        heard = subscriber.wait_for(
            lambda h: len(set(ids(h))) == 30 and sum(m.topic == "p/events" for m in h) >= 30, "the backlog did not come"
        )
        wait_until(lambda: room.outbox.pending(100) == [])
        room.dispatcher.submit(make_alert(99))
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
    import threading
    from pathlib import Path
    from support.post import make_alert, running
    import importlib.util, sys
    spec = importlib.util.spec_from_file_location("room", sys.argv[1])
    room = importlib.util.module_from_spec(spec)
    sys.modules["room"] = room
    spec.loader.exec_module(room)
    with room.open_room(Path(sys.argv[2]), int(sys.argv[3])) as opened:
        for number in range(10_000):
            room.wait_until(lambda: len(opened.pending()) < 40)
            opened.dispatcher.submit(make_alert(number))
            print(number, flush=True)
"""


def test_what_a_killed_process_owed_is_sent_by_the_next(broker: Mosquitto, tmp_path: Path) -> None:
    subscriber = Subscriber(broker.port, "p/#")
    tests = str(Path(__file__).resolve().parents[1])
    script = f"import sys; sys.path.insert(0, {tests!r})\n" + textwrap.dedent(_CHILD)
    command = [sys.executable, "-c", script, __file__, str(tmp_path), str(broker.port)]
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
    outbox = ResilientOutbox(tmp_path / "outbox.db")
    owed = [entry.key for entry in outbox.pending(1000)]
    outbox.close()
    assert owed
    before = len(subscriber.heard)
    with open_room(tmp_path, broker.port) as room:
        subscriber.wait_for(lambda h: set(owed) <= set(ids(h[before:])))
        wait_until(lambda: room.pending() == [])
    heard = subscriber.wait_for(lambda h: h[-1].payload == b"offline")
    subscriber.close()
    assert all(a["replayed"] for a in alerts_in(heard[before:]))
    numbers = sorted({a["seq"] for a in alerts_in(heard)})
    assert numbers == list(range(1, len(numbers) + 1))  # every one that was ever written has come


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_10000_events_offline_are_bounded_and_no_alert_is_among_the_dropped(tmp_path: Path) -> None:
    with open_room(tmp_path, free_port(), connect=False) as room:
        room.dispatcher.submit(make_alert(1))
        for number in range(500):  # what is made once, is made now
            room.dispatcher.submit(make_change(number))
        wait_until(lambda: room.dispatcher.stats().waiting == 0)
        before = resident_bytes()
        for number in range(10_000):
            room.dispatcher.submit(make_change(number))
            room.dispatcher.submit(Message(topic="p/porch/motion", payload=b"ON"))
            room.dispatcher.submit(Message(topic="p/porch/person", payload=b"1", retain=True))
        wait_until(lambda: room.dispatcher.stats().waiting == 0)
        assert resident_bytes() - before < 64 << 20  # the events' frames alone would be 576 MB
        stats, kept = room.dispatcher.stats(), room.outbox.stats()
        assert kept.pending_alerts == 1
        assert kept.pending_events + stats.dropped + kept.dropped_events >= 10_500
        assert room.pending() == ["alert-1"]


def test_a_full_queue_drops_the_oldest_and_counts(tmp_path: Path) -> None:
    encoding, go_on = threading.Event(), threading.Event()

    def slow(frame: Frame, box: Box, score: float) -> bytes:
        encoding.set()
        assert go_on.wait(DEADLINE)
        return encode(frame, box, score)

    with open_room(tmp_path, free_port(), connect=False, encode_snapshot=slow, max_waiting=10) as room:
        room.dispatcher.submit(make_alert(0))
        assert encoding.wait(DEADLINE)
        for number in range(25):
            room.dispatcher.submit(make_change(number))
            room.dispatcher.submit(make_alert(100 + number))
        assert room.dispatcher.stats().dropped == 15
        go_on.set()
        wait_until(lambda: room.dispatcher.stats().waiting == 0)
        events = [e.key for e in room.outbox.pending(1000) if e.kind == "event"]
        assert events == [f"event-{number}" for number in range(15, 25)]
        assert len(room.pending()) == 26


def test_an_alert_without_a_picture_still_goes_out(broker: Mosquitto, tmp_path: Path) -> None:
    def broken(_frame: Frame, _box: Box, _score: float) -> bytes:
        raise RuntimeError("no encoder")

    subscriber = Subscriber(broker.port, "p/alerts")
    with open_room(tmp_path, broker.port, encode_snapshot=broken) as room:
        room.dispatcher.submit(make_alert(1))
        subscriber.wait_for(lambda h: ids(h) == ["alert-1"])
    subscriber.close()


def test_alerts_that_the_broker_refuses_wait_on_disk_and_events_go_on(tmp_path: Path) -> None:
    refusing = Mosquitto(tmp_path / "refusing", acl="topic readwrite p/#\ntopic deny p/alerts\n")
    refusing.start()
    subscriber = Subscriber(refusing.port, "p/events")
    with open_room(tmp_path, refusing.port, protocol="5") as room:
        wait_until(room.link.session)
        room.dispatcher.submit(make_alert(1))
        room.dispatcher.submit(make_alert(2))
        wait_until(lambda: room.dispatcher.stats().refusals >= 1)
        room.dispatcher.submit(make_change(3))
        subscriber.wait_for(lambda h: len(h) == 1)
        assert room.pending() == ["alert-1", "alert-2"]
        assert room.dispatcher.stats().alerts_acknowledged == 0
    subscriber.close()
    refusing.kill()


def test_refused_alerts_are_tried_again(broker: Mosquitto, tmp_path: Path) -> None:
    acl = tmp_path / "broker2" / "acl"
    changing = Mosquitto(tmp_path / "broker2", acl="topic readwrite p/#\ntopic deny p/alerts\n")
    changing.start()
    with open_room(tmp_path, changing.port, protocol="5", retry_s=0.1) as room:
        for number in range(3):
            room.dispatcher.submit(make_alert(number))
        wait_until(lambda: room.dispatcher.stats().refusals >= 3)
        acl.write_text("topic readwrite p/#\n")
        changing.signal(signal.SIGHUP)
        wait_until(lambda: room.pending() == [])
        assert room.dispatcher.stats().alerts_acknowledged == 3
    changing.kill()


def test_state_is_told_in_its_last_value_and_without_a_broker_later(broker: Mosquitto, tmp_path: Path) -> None:
    broker.kill()
    with open_room(tmp_path, broker.port) as room:
        for number in range(5):
            room.dispatcher.submit(Message(topic="p/porch/person", payload=b"%d" % number, retain=True))
        wait_until(lambda: room.dispatcher.stats().waiting == 0)
        broker.start()
        subscriber = Subscriber(broker.port, "p/porch/person")
        subscriber.wait_for(lambda h: h and h[-1].payload == b"4")
        room.dispatcher.submit(Message(topic="p/porch/person", payload=b"5", retain=True))
        subscriber.wait_for(lambda h: h[-1].payload == b"5")
        subscriber.close()


def test_the_heartbeat_goes_on_while_there_is_nothing_to_do(tmp_path: Path) -> None:
    with open_room(tmp_path, free_port(), connect=False) as room:
        before = room.dispatcher.progress_mono
        wait_until(lambda: room.dispatcher.progress_mono > before)


def test_draining_without_a_broker_writes_down_and_returns(tmp_path: Path) -> None:
    outbox = ResilientOutbox(tmp_path / "outbox.db")
    history = History(path=tmp_path / "history.db", snapshot_dir=tmp_path / "snapshots")
    link = MqttLink(settings=MqttSettings(host="127.0.0.1", port=1, client_id="detector-t"), will=WILL)
    dispatcher = Dispatcher(
        outbox=outbox, history=history, link=link, topics=TOPICS, device="yard", darkroom=Darkroom(encode=encode)
    )
    dispatcher.submit(make_alert(5))
    assert dispatcher.drain(SYSTEM_CLOCK.mono() + DEADLINE)
    assert [entry.key for entry in outbox.pending(10)] == ["alert-5"]
    history.close()
    outbox.close()


def test_draining_ends_at_its_deadline_when_nobody_answers(broker: Mosquitto, tmp_path: Path) -> None:
    with open_room(tmp_path, broker.port) as room:
        wait_until(room.link.session)
        wait_until(lambda: room.link.status().unacknowledged == 0)
        broker.signal(signal.SIGSTOP)
        room.dispatcher.submit(make_alert(5))
        wait_until(lambda: room.link.status().unacknowledged == 1)
        assert not room.dispatcher.drain(SYSTEM_CLOCK.mono())
        assert room.pending() == ["alert-5"]
        broker.signal(signal.SIGCONT)
        wait_until(lambda: room.pending() == [])


def test_a_queue_holds_something() -> None:
    with pytest.raises(ValueError, match="max_waiting"):
        Dispatcher(
            outbox=None,  # type: ignore[arg-type]
            history=None,  # type: ignore[arg-type]
            link=None,  # type: ignore[arg-type]
            topics=TOPICS,
            device="yard",
            darkroom=Darkroom(encode=encode),
            max_waiting=0,
        )


def test_every_visit_has_a_picture_and_an_alerts_replaces_the_first(broker: Mosquitto, tmp_path: Path) -> None:
    def frame_number(frame: Frame, _box: Box, _score: float) -> bytes:
        return b"%d" % frame.seq

    subscriber = Subscriber(broker.port, "p/#")
    with open_room(tmp_path, broker.port, encode_snapshot=frame_number) as room:
        room.dispatcher.submit(make_change(1))
        wait_until(lambda: room.history.snapshot("event-1") == b"1")
        alert = dataclasses.replace(make_alert(1), frame=make_frame(seq=7))
        room.dispatcher.submit(alert)
        wait_until(lambda: room.history.snapshot("event-1") == b"7")
        room.dispatcher.submit(make_change(2, "update"))
        room.dispatcher.submit(make_change(3, "end"))
        wait_until(lambda: room.history.event("event-3"))
        assert room.history.snapshot("event-2") is None
    heard = subscriber.wait_for(has("alert-1"))
    topics = [h.topic for h in heard if h.topic in ("p/alerts", "p/porch/person/snapshot")]
    assert topics == ["p/porch/person/snapshot", "p/alerts"], "the picture is there when the alert comes"
    subscriber.close()


def test_a_lost_picture_leaves_the_last_one_alone(broker: Mosquitto, tmp_path: Path) -> None:
    subscriber = Subscriber(broker.port, "p/#")
    with open_room(tmp_path, broker.port, encode_snapshot=lambda *_: None) as room:
        room.dispatcher.submit(make_alert(1))
        subscriber.wait_for(has("alert-1"))
        assert subscriber.last("p/porch/person/snapshot") is None
    subscriber.close()


def test_frames_of_many_new_visits_are_not_hoarded(tmp_path: Path) -> None:
    encoding, go_on = threading.Event(), threading.Event()

    def slow(frame: Frame, box: Box, score: float) -> bytes:
        encoding.set()
        assert go_on.wait(DEADLINE)
        return encode(frame, box, score)

    with open_room(tmp_path, free_port(), connect=False, encode_snapshot=slow) as room:
        room.dispatcher.submit(make_alert(0))
        assert encoding.wait(DEADLINE)  # the dispatcher stands still now
        frames = []
        for number in range(200):
            change = make_change(number)
            frames.append(weakref.ref(change.frame.image.bgr()))
            room.dispatcher.submit(change)
        del change
        held = sum(frame() is not None for frame in frames)
        go_on.set()
        wait_until(lambda: room.dispatcher.stats().waiting == 0)
        assert 1 <= held <= MAX_FIRSTS
        wait_until(lambda: room.history.snapshot("event-199") is not None)
        assert room.history.event("event-1") is not None
        assert room.history.snapshot("event-1") is None
