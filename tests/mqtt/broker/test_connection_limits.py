"""Which connection makes room for another, and for whom a slot is kept (row 7)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from detector.mqtt.broker import connection_limits
from detector.mqtt.broker.connection_limits import ConnectionLimits


@dataclass(frozen=True)
class Peer:
    number: int
    peer: str = "192.0.2.1"


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> ConnectionLimits[Peer]:
    monkeypatch.setattr(connection_limits, "MAX_SILENT", 6)
    monkeypatch.setattr(connection_limits, "MAX_SILENT_PER_PEER", 4)
    monkeypatch.setattr(connection_limits, "MAX_CLIENTS", 3)
    monkeypatch.setattr(connection_limits, "MAX_CLIENTS_PER_PEER", 2)
    return ConnectionLimits()


def test_the_oldest_silent_one_of_a_crowded_address_makes_room(limits: ConnectionLimits[Peer]) -> None:
    other = Peer(0, "192.0.2.2")
    assert limits.arrived(other) is None
    assert [limits.arrived(Peer(n)) for n in range(1, 7)] == [None] * 4 + [Peer(1), Peer(2)]
    limits.left(Peer(3))
    assert limits.arrived(Peer(7)) is None


def test_of_many_addresses_the_most_crowded_makes_room(limits: ConnectionLimits[Peer]) -> None:
    quiet = [Peer(n, f"192.0.2.{n}") for n in range(10, 13)]
    assert [limits.arrived(one) for one in quiet] == [None] * 3
    assert [limits.arrived(Peer(n)) for n in range(4)] == [None, None, None, Peer(0)]


def test_clients_are_counted_in_all_and_by_address_and_never_ended(limits: ConnectionLimits[Peer]) -> None:
    here = [limits.accept(Peer(n), is_service=False) for n in range(3)]
    there = [limits.accept(Peer(n, "192.0.2.2"), is_service=False) for n in range(10, 12)]
    assert (here, there) == ([True, True, False], [True, False])
    limits.left(Peer(0))
    assert limits.accept(Peer(20), is_service=False)


def test_the_services_slot_is_its_own(limits: ConnectionLimits[Peer]) -> None:
    assert all(limits.accept(Peer(n), is_service=False) for n in range(2))
    assert limits.accept(Peer(5), is_service=True)
    assert limits.accept(Peer(6), is_service=True), "a second connection of the service takes the first one's place"
    limits.left(Peer(5))
    assert not limits.accept(Peer(7), is_service=False)
