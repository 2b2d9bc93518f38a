"""Who gets which message, and what is kept for whom."""

from __future__ import annotations

import pytest

from detector.core.types import Message
from detector.mqtt.broker import router as routers
from detector.mqtt.broker.packets import PacketKind
from detector.mqtt.broker.router import Router
from detector.mqtt.broker.session import BrokerSession
from support.connections import RecordedConnection


def joined(
    router: Router, client_id: str, *patterns: str, clean: bool = True, qos: int = 1
) -> tuple[BrokerSession, RecordedConnection]:
    tape = RecordedConnection()
    session, _ = router.open(client_id, clean=clean)
    session.attach(tape)
    if patterns:
        router.subscribe(session, 1, [(pattern, qos) for pattern in patterns])
    return session, tape


def test_each_client_gets_a_message_once_at_its_highest_qos() -> None:
    router = Router()
    session, tape = joined(router, "a", "p/#", "p/+")
    router.subscribe(session, 2, [("p/x", 0)])
    _, other = joined(router, "b", "q")
    router.publish(Message(topic="p/x", payload=b"1", qos=1))
    assert tape.messages == [Message(topic="p/x", payload=b"1", qos=1)]
    assert other.messages == []


def test_what_is_retained_comes_after_the_answer_and_is_marked() -> None:
    router = Router()
    router.publish(Message(topic="p/x", payload=b"old", qos=1, retain=True))
    router.publish(Message(topic="p/x", payload=b"new", qos=1, retain=True))
    router.publish(Message(topic="p/y", payload=b"y", retain=True))
    router.publish(Message(topic="p/y", payload=b"", retain=True))
    _, tape = joined(router, "a", "p/+", "p/#/no")
    assert tape.kinds == [PacketKind.SUBACK, PacketKind.PUBLISH]
    assert tape.messages == [Message(topic="p/x", payload=b"new", qos=1, retain=True)]
    router.publish(Message(topic="p/x", payload=b"live", qos=1, retain=True))
    assert tape.messages[1:] == [Message(topic="p/x", payload=b"live", qos=1)]


def test_who_asks_to_be_remembered_is() -> None:
    router = Router()
    session, tape = joined(router, "a", "p/x", clean=False)
    router.close(session, tape)
    router.publish(Message(topic="p/x", payload=b"1", qos=1))
    same, present = router.open("a", clean=False)
    assert present
    assert same is session
    again = RecordedConnection()
    same.attach(again)
    assert again.payloads == [b"1"]


@pytest.mark.parametrize(("before", "after"), [(True, True), (True, False), (False, True)])
def test_who_does_not_is_forgotten(before: bool, after: bool) -> None:
    router = Router()
    session, tape = joined(router, "a", "p/x", clean=before)
    router.close(session, tape)
    router.publish(Message(topic="p/x", payload=b"1", qos=1))
    fresh, present = router.open("a", clean=after)
    assert not present
    assert fresh.wants("p/x") is None


def test_a_second_client_of_one_id_ends_the_first() -> None:
    router = Router()
    first, tape = joined(router, "a", "p/x", clean=False)
    second, other = joined(router, "a", clean=False)
    assert tape.ended == ["another client uses its id"]
    router.close(first, tape)  # the first is noticed to be gone only now
    router.publish(Message(topic="p/x", payload=b"1", qos=1))
    assert second.wire is other
    assert other.payloads == [b"1"]


def test_only_so_many_absent_clients_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routers, "MAX_ABSENT", 2)
    router = Router()
    for name in "abc":
        router.close(*joined(router, name, clean=False))
    joined(router, "here", clean=False)
    assert [router.open(name, clean=False)[1] for name in "abc"] == [False, True, True]


@pytest.mark.parametrize(("name", "bound"), [("MAX_RETAINED", 2), ("MAX_RETAINED_BYTES", 2)])
def test_retained_values_are_bounded(monkeypatch: pytest.MonkeyPatch, name: str, bound: int) -> None:
    monkeypatch.setattr(routers, name, bound)
    router = Router()
    for topic in "abc":
        router.publish(Message(topic=topic, payload=b"1", retain=True))
    router.publish(Message(topic="a", payload=b"2", retain=True))  # an old topic has its place
    _, tape = joined(router, "late", "#")
    assert {(m.topic, m.payload) for m in tape.messages} == {("a", b"2"), ("b", b"1")}
    router.publish(Message(topic="a", payload=b"", retain=True))
    router.publish(Message(topic="c", payload=b"3", retain=True))
    _, later = joined(router, "later", "#")
    assert {m.topic for m in later.messages} == {"b", "c"}
