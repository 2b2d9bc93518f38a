"""What a client is owed, and how much of it is kept."""

from __future__ import annotations

import logging

import pytest

from detector.core.types import Message
from detector.mqtt.broker import session as sessions
from detector.mqtt.broker.packets import REFUSED
from detector.mqtt.broker.session import BrokerSession
from support.connections import RecordedConnection


def numbered(number: int, *, qos: int = 1) -> Message:
    return Message(topic="p/x", payload=b"%d" % number, qos=qos)


def attached(*, clean: bool = True) -> tuple[BrokerSession, RecordedConnection]:
    session, tape = BrokerSession("me", clean=clean), RecordedConnection()
    session.attach(tape)
    return session, tape


def test_the_window_is_kept_and_the_order_too() -> None:
    session, tape = attached()
    for number in range(50):
        session.deliver(numbered(number), qos=1)
    assert len(tape.publishes) == sessions.WINDOW
    while len(tape.publishes) < 50:
        session.acknowledged(tape.publishes[-sessions.WINDOW].mid)
    assert tape.payloads == [b"%d" % number for number in range(50)]
    assert tape.ended == []


def test_identifiers_begin_anew_without_those_still_on_their_way() -> None:
    session, tape = attached()
    session.deliver(numbered(0), qos=1)  # never acknowledged
    session._last_mid = 65_533
    for number in range(1, 5):
        session.deliver(numbered(number), qos=1)
    assert [one.mid for one in tape.publishes] == [1, 65_534, 65_535, 2, 3]


def test_qos_is_the_lower_of_both() -> None:
    session, tape = attached()
    session.deliver(numbered(0, qos=2), qos=1)
    session.deliver(numbered(1, qos=1), qos=0)
    session.deliver(numbered(2, qos=0), qos=1)
    assert [message.qos for message in tape.messages] == [1, 0, 0]


def test_who_comes_back_gets_what_was_unanswered_again_then_the_rest() -> None:
    session, tape = attached(clean=False)
    session.deliver(numbered(0), qos=1)
    session.deliver(numbered(1), qos=1)
    session.acknowledged(tape.publishes[0].mid)
    session.wire = None
    session.deliver(numbered(2), qos=1)
    session.deliver(numbered(3, qos=0), qos=1)  # QoS 0 is not kept
    again = RecordedConnection()
    session.attach(again)
    assert again.payloads == [b"1", b"2"]
    assert [one.duplicate for one in again.publishes] == [True, False]
    assert again.publishes[0].mid == tape.publishes[1].mid


def test_a_slow_reader_misses_qos_0_and_keeps_qos_1() -> None:
    session, tape = attached()
    tape.clogged = True
    session.deliver(numbered(0, qos=0), qos=1)
    session.deliver(numbered(1), qos=1)
    assert tape.payloads == []
    tape.clogged = False
    session.pump()
    assert tape.payloads == [b"1"]


@pytest.mark.parametrize(("name", "bound"), [("MAX_QUEUED", 5), ("MAX_QUEUED_BYTES", 25)])
@pytest.mark.parametrize("here", [True, False])
def test_of_who_does_not_take_them_the_oldest_are_dropped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, bound: int, here: bool
) -> None:
    monkeypatch.setattr(sessions, name, bound)
    session = BrokerSession("me", clean=False)
    tape = RecordedConnection()
    tape.clogged = True
    if here:
        session.attach(tape)
    with caplog.at_level(logging.WARNING):
        for number in range(10, 22):
            session.deliver(numbered(number), qos=1)
    assert [record.message for record in caplog.records] == [
        "the embedded broker: 'me' takes its messages too slowly: some are dropped"
    ]
    tape.clogged = False
    session.attach(tape)
    assert tape.payloads == [b"17", b"18", b"19", b"20", b"21"]
    assert tape.ended == []


def test_filters_are_judged_bounded_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_FILTERS", 2)
    session = BrokerSession("me", clean=True)
    assert [session.subscribe("p/#", 0), session.subscribe("p/x", 2), session.subscribe("p/#/x", 1)] == [0, 1, REFUSED]
    assert (session.subscribe("q", 1), session.subscribe("p/x", 0)) == (REFUSED, 0)
    session.subscribe("p/x", 1)
    assert (session.wants("p/x"), session.wants("p/y"), session.wants("q")) == (1, 0, None)
    session.unsubscribe("p/x")
    session.unsubscribe("never asked for")
    assert session.wants("p/x") == 0


def test_a_qos_2_message_is_new_until_released() -> None:
    session = BrokerSession("me", clean=True)
    assert [session.is_first(7), session.is_first(7), session.is_first(8)] == [True, False, True]
    session.released(7)
    assert session.is_first(7)
