"""What one client is owed: its subscriptions, and messages until it acknowledged them.

QoS 0 goes out now or never. QoS 1 waits, in order, in a queue that is bounded: where a client lets it run full, the
oldest are dropped. QoS 2 is granted as 1.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Protocol

from detector.core.types import Message

from . import packets, topic_filter

log = logging.getLogger(__name__)

WINDOW = 20  # QoS 1 messages on their way to one client: small ones hold no more
MAX_QUEUED = 10_000
MAX_QUEUED_BYTES = 16 * 1024 * 1024
MAX_FILTERS = 1000
_LAST_MID = 65_535


class ClientConnection(Protocol):
    """A client's connection, as a session sees it."""

    @property
    def clogged(self) -> bool:
        """The client reads slower than it is written to."""
        ...

    def write(self, data: bytes) -> None: ...

    def evict(self, why: str) -> None:
        """End the connection now."""
        ...


class BrokerSession:
    """Of one client id. Not thread-safe: the broker's loop owns it."""

    def __init__(self, client_id: str, *, clean: bool) -> None:
        self.client_id, self.clean = client_id, clean
        self.wire: ClientConnection | None = None
        self._filters: dict[str, int] = {}  # to the QoS granted
        self._flights: dict[int, Message] = {}
        self._queue: deque[Message] = deque()
        self._queued_bytes = 0
        self._told = False  # that messages are dropped
        self._last_mid = 0
        self._received: set[int] = set()  # QoS 2 messages that the client has not released yet

    def attach(self, wire: ClientConnection) -> None:
        """The client is here: what it did not acknowledge goes out again, then what waited."""
        self.wire, self._told = wire, False
        for mid, message in self._flights.items():
            wire.write(packets.publish(message, mid=mid, duplicate=True))
        self.pump()

    def subscribe(self, pattern: str, qos: int) -> int:
        """The QoS granted, or `packets.REFUSED`."""
        if not topic_filter.is_valid(pattern) or (len(self._filters) >= MAX_FILTERS and pattern not in self._filters):
            return packets.REFUSED
        self._filters[pattern] = min(qos, 1)
        return self._filters[pattern]

    def unsubscribe(self, pattern: str) -> None:
        self._filters.pop(pattern, None)

    def wants(self, topic: str) -> int | None:
        """The highest QoS of the filters that take `topic`; None where none does."""
        highest = None
        for pattern, qos in self._filters.items():
            if qos != highest and topic_filter.matches(pattern, topic):
                if qos:
                    return qos
                highest = qos
        return highest

    def deliver(self, message: Message, *, qos: int, retained: bool = False) -> None:
        """Send `message` at no more than `qos`; `retained`: it was not published just now."""
        qos = min(message.qos, qos)
        if message.qos != qos or message.retain != retained:
            message = Message(topic=message.topic, payload=message.payload, qos=qos, retain=retained)
        if qos and not self._queue and self._has_room():
            self._send(message)
        elif qos:
            self._queue.append(message)
            self._queued_bytes += _size(message)
            self._bound()
        elif self.wire is not None and not self.wire.clogged:
            self.wire.write(packets.publish(message))

    def pump(self) -> None:
        """Send of the queue what the client can take."""
        while self._queue and self._has_room():
            self._send(self._next())

    def acknowledged(self, mid: int) -> None:
        self._flights.pop(mid, None)
        self.pump()

    def is_first(self, mid: int) -> bool:
        """Whether a QoS 2 message that the client sends was not received before; it is from now on."""
        known = mid in self._received
        self._received.add(mid)
        return not known

    def released(self, mid: int) -> None:
        self._received.discard(mid)

    def _has_room(self) -> bool:
        return self.wire is not None and not self.wire.clogged and len(self._flights) < WINDOW

    def _send(self, message: Message) -> None:
        mid = self._free_mid()
        self._flights[mid] = message
        if self.wire is not None:
            self.wire.write(packets.publish(message, mid=mid))

    def _next(self) -> Message:
        message = self._queue.popleft()
        self._queued_bytes -= _size(message)
        return message

    def _free_mid(self) -> int:
        while True:
            self._last_mid = self._last_mid % _LAST_MID + 1
            if self._last_mid not in self._flights:
                return self._last_mid

    def _bound(self) -> None:
        while len(self._queue) > MAX_QUEUED or self._queued_bytes > MAX_QUEUED_BYTES:
            self._next()
            if not self._told:
                self._told = True
                log.warning(
                    "the embedded broker: %.64r takes its messages too slowly: some are dropped", self.client_id
                )


def _size(message: Message) -> int:
    return len(message.topic) + len(message.payload)
