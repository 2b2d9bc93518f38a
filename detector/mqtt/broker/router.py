"""Who gets which message: the sessions of all clients, and the last retained value of each topic."""

from __future__ import annotations

import logging

from detector.core.types import Message

from . import packets
from .session import BrokerSession, ClientConnection
from .topic_filter import matches

log = logging.getLogger(__name__)

MAX_RETAINED = 10_000
MAX_RETAINED_BYTES = 64 * 1024 * 1024
MAX_ABSENT = 100  # sessions kept for clients that are away


class Router:
    """Not thread-safe: the broker's loop owns it."""

    def __init__(self) -> None:
        self._sessions: dict[str, BrokerSession] = {}  # who was here last comes last
        self._retained: dict[str, Message] = {}
        self._retained_bytes = 0

    def open(self, client_id: str, *, clean: bool) -> tuple[BrokerSession, bool]:
        """The session of a client that comes, and whether it is an old one; a second client of one id ends the first.

        `attach` is the caller's, once it has answered.
        """
        old = self._sessions.pop(client_id, None)
        if old is not None and old.wire is not None:
            old.wire.evict("another client uses its id")
        keep = old is not None and not clean and not old.clean
        session = old if old is not None and keep else BrokerSession(client_id, clean=clean)
        session.wire = None
        self._sessions[client_id] = session
        return session, keep

    def close(self, session: BrokerSession, wire: ClientConnection) -> None:
        """The client behind `wire` is gone; what is owed to it stays where it asked for that."""
        if session.wire is not wire:
            return  # another has taken its place
        session.wire = None
        if self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]
            if not session.clean:
                self._sessions[session.client_id] = session
        absent = [client_id for client_id, one in self._sessions.items() if one.wire is None]
        for client_id in absent[:-MAX_ABSENT]:
            del self._sessions[client_id]

    def publish(self, message: Message) -> None:
        """To each client once, whatever number of its filters take it."""
        if message.retain:
            self._retain(message)
        for session in list(self._sessions.values()):
            qos = session.wants(message.topic)
            if qos is not None:
                session.deliver(message, qos=qos)

    def subscribe(self, session: BrokerSession, mid: int, wanted: list[tuple[str, int]]) -> None:
        """Answer, then send what is retained there: section 3.8.4."""
        granted = [session.subscribe(pattern, qos) for pattern, qos in wanted]
        if session.wire is not None:
            session.wire.write(packets.suback(mid, granted))
        for (pattern, _), qos in zip(wanted, granted, strict=True):
            if qos != packets.REFUSED:
                self._send_retained(session, pattern, qos)

    def _send_retained(self, session: BrokerSession, pattern: str, qos: int) -> None:
        for topic, message in list(self._retained.items()):
            if matches(pattern, topic):
                session.deliver(message, qos=qos, retained=True)

    def _retain(self, message: Message) -> None:
        old = self._retained.pop(message.topic, None)
        self._retained_bytes -= len(old.payload) if old is not None else 0
        if not message.payload:
            return  # section 3.3.1.3: it clears the topic
        size = self._retained_bytes + len(message.payload)
        if len(self._retained) >= MAX_RETAINED or size > MAX_RETAINED_BYTES:
            log.warning("the embedded broker: no room to retain what is published to %.64r", message.topic)
            return
        self._retained[message.topic], self._retained_bytes = message, size
