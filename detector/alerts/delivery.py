"""From the outbox to the broker and, once acknowledged, out of the outbox.

Alerts overtake events; within a kind the outbox's order holds. What was handed over in one
session and not acknowledged in it is sent again in the next, from the outbox, which alone knows
what is owed. Not thread-safe but for `acknowledged`: the dispatcher's thread owns it.
"""

from __future__ import annotations

import logging
from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from detector.core.clock import Clock
from detector.core.errors import BrokerError
from detector.core.types import Message
from detector.mqtt.client import AckCallback

from .outbox import ResilientOutbox
from .outbox_entries import Entry, Kind
from .payloads import encode, stamp_published

log = logging.getLogger(__name__)

RETRY_S = 30.0  # how long a kind of message that the broker refused is left alone
_PAGE = 100  # entries read from the outbox at a time


class MessageSink(Protocol):
    """What is needed of the MQTT link."""

    def publish(self, message: Message, on_ack: AckCallback | None = None) -> bool: ...

    def session(self) -> int | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderStats:
    """Since the start: entries that the broker acknowledged, and its refusals."""

    alerts: int = 0
    events: int = 0
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class InFlight:
    kind: Kind
    session: int


class OutboxDelivery:
    """Sends what the outbox holds, as far as the link takes it; `wake` is called when that changes."""

    def __init__(
        self,
        *,
        outbox: ResilientOutbox,
        link: MessageSink,
        clock: Clock,
        wake: Callable[[], None],
        retry_s: float = RETRY_S,
    ) -> None:
        self._outbox, self._link, self._clock, self._wake = outbox, link, clock, wake
        self._retry_s = retry_s
        self._alerts: list[int] = []  # numbers of those to be sent, in order: the index, not the alerts
        self._live: dict[int, int] = {}  # alerts put while connected: number -> that session
        self._page: deque[Entry] = deque()
        self._cursor, self._more = 0, True
        self._flights: dict[int, InFlight] = {}
        self._results: deque[tuple[int, str | None]] = deque()
        self._paused: dict[Kind, float] = {}
        self._known: tuple[int, bool] | None = None  # the session and the disk's health that the index is of
        self._counts: dict[Kind, int] = {"alert": 0, "event": 0}
        self._refusals = 0

    @property
    def stats(self) -> SenderStats:
        return SenderStats(alerts=self._counts["alert"], events=self._counts["event"], refusals=self._refusals)

    @property
    def idle(self) -> bool:
        """Nothing is on its way, and nothing could be put on its way now."""
        if self._flights or self._results:
            return False
        return self._link.session() is None or not (self._ready("alert") or self._ready("event"))

    def added(self, entry: Entry) -> None:
        """`entry` was put into the outbox just now."""
        if entry.kind == "event":
            self._more = True
        elif entry.seq not in self._flights and entry.seq not in self._live:
            insort(self._alerts, entry.seq)
            session = self._link.session()
            if session is not None:
                self._live[entry.seq] = session

    def acknowledged(self, seq: int, error: str | None) -> None:
        """The link's answer for an entry; from any thread."""
        self._results.append((seq, error))
        self._wake()

    def work(self) -> None:
        """Take the answers that came, then send what may go."""
        self._settle()
        session = self._link.session()
        if session is None:
            return
        self._index(session)
        if self._drain_alerts(session):
            self._drain_events(session)

    def _settle(self) -> None:
        done: list[int] = []
        while self._results:
            seq, error = self._results.popleft()
            flight = self._flights.pop(seq, None)
            if flight is None:
                continue
            if error is None:
                done.append(seq)
                self._live.pop(seq, None)
                self._counts[flight.kind] += 1
            else:
                self._unsent(seq, flight, error)
        if done:
            self._outbox.done(done)

    def _unsent(self, seq: int, flight: InFlight, error: str) -> None:
        if flight.kind == "alert":
            insort(self._alerts, seq)
        else:
            self._rewind()
        if flight.session == self._link.session():  # not the connection's end, the broker's own no
            self._pause(flight.kind, error)

    def _pause(self, kind: Kind, error: str) -> None:
        self._refusals += 1
        self._paused[kind] = self._clock.mono() + self._retry_s
        log.warning("the broker refuses %ss, they wait on disk: %s", kind, error)

    def _rewind(self) -> None:
        self._page.clear()
        self._cursor, self._more = 0, True

    def _index(self, session: int) -> None:
        """Read anew what is owed: at the start of a session, and when a failing disk is back."""
        known = (session, self._outbox.stats().fault is None)
        if known == self._known:
            return
        self._known = known
        self._paused.clear()
        self._rewind()
        alerts, after = [], 0
        while batch := self._outbox.pending(_PAGE, after):
            after = batch[-1].seq
            alerts += [e.seq for e in batch if e.kind == "alert" and e.seq not in self._flights]
        self._alerts = alerts
        self._live = {seq: live for seq, live in self._live.items() if live == session}

    def _ready(self, kind: Kind) -> bool:
        waiting = bool(self._alerts) if kind == "alert" else bool(self._page) or self._more
        return waiting and not self._is_paused(kind)

    def _is_paused(self, kind: Kind) -> bool:
        return self._clock.mono() < self._paused.get(kind, 0.0)

    def _drain_alerts(self, session: int) -> bool:
        """False while there are alerts that the link cannot take: events wait behind them."""
        while self._alerts and not self._is_paused("alert"):
            seq = self._alerts[0]
            entry = next(iter(self._outbox.pending(1, seq - 1)), None)
            if entry is not None and entry.seq == seq and not self._hand_over(entry, session):
                return self._is_paused("alert")
            self._alerts.pop(0)
        return True

    def _drain_events(self, session: int) -> None:
        while not self._is_paused("event") and (entry := self._next_event()) is not None:
            if not self._hand_over(entry, session):
                return
            self._page.popleft()

    def _next_event(self) -> Entry | None:
        while not self._page and self._more:
            batch = self._outbox.pending(_PAGE, self._cursor)
            self._more = bool(batch)
            if batch:
                self._cursor = batch[-1].seq
            self._page.extend(e for e in batch if e.kind == "event" and e.seq not in self._flights)
        return self._page[0] if self._page else None

    def _hand_over(self, entry: Entry, session: int) -> bool:
        payload = entry.payload
        if entry.kind == "alert":
            replayed = entry.sent or self._live.get(entry.seq) != session
            payload = stamp_published(payload, published_wall=self._clock.wall(), replayed=replayed)
        message = Message(topic=entry.topic, payload=encode(payload), qos=1)
        # Noted first: the answer may come before `publish` returns.
        self._flights[entry.seq] = InFlight(entry.kind, session)
        try:
            taken = self._link.publish(message, partial(self.acknowledged, entry.seq))
        except BrokerError as error:
            taken = False
            self._pause(entry.kind, str(error))
        if not taken:
            del self._flights[entry.seq]
        return taken
