"""How many connections the embedded broker keeps: few that have not said CONNECT, and a slot for the service itself.

A connection that has not said CONNECT costs its owner nothing, so the newest one always gets in and the oldest makes
way: a flood cannot keep out a client that says CONNECT at once. Clients that have said it are never ended for others.
"""

from __future__ import annotations

from collections import Counter
from typing import Generic, Protocol, TypeVar

MAX_SILENT = 64  # connections without CONNECT, of all addresses
MAX_SILENT_PER_PEER = 32
MAX_CLIENTS = 100
MAX_CLIENTS_PER_PEER = 90  # all of this machine's programs count as one address


class Connection(Protocol):
    """What is counted: a connection and where it comes from, as `peer_key` writes it."""

    @property
    def peer(self) -> str: ...


_C = TypeVar("_C", bound=Connection)


class ConnectionLimits(Generic[_C]):
    """Not thread-safe: the broker's loop owns it."""

    def __init__(self) -> None:
        self._silent: dict[_C, None] = {}  # in order of arrival
        self._clients: set[_C] = set()
        self._service: _C | None = None

    def arrived(self, connection: _C) -> _C | None:
        """Count a connection that has said nothing yet; returns the one that has to end for it, if any."""
        self._silent[connection] = None
        peers = Counter(one.peer for one in self._silent)
        crowded = None
        if peers[connection.peer] > MAX_SILENT_PER_PEER:
            crowded = connection.peer
        elif len(self._silent) > MAX_SILENT:
            crowded = max(peers, key=lambda peer: peers[peer])
        if crowded is None:
            return None
        oldest = next(one for one in self._silent if one.peer == crowded)
        del self._silent[oldest]
        return oldest

    def accept(self, connection: _C, *, is_service: bool) -> bool:
        """Count a connection whose CONNECT is right; False where there is no room. The service's own has a slot of its own."""
        if is_service:
            self._service = connection
        elif len(self._clients) >= MAX_CLIENTS or self._count(connection.peer) >= MAX_CLIENTS_PER_PEER:
            return False
        else:
            self._clients.add(connection)
        self._silent.pop(connection, None)
        return True

    def left(self, connection: _C) -> None:
        """The connection has ended."""
        self._silent.pop(connection, None)
        self._clients.discard(connection)
        if self._service is connection:
            self._service = None

    def _count(self, peer: str) -> int:
        return sum(one.peer == peer for one in self._clients)
