"""What lies in an outbox: one entry, the last numbers given out, and the figures that describe it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["alert", "event"]
KINDS: tuple[Kind, ...] = ("alert", "event")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One message that waits for the broker: `payload` is its JSON, `key` the alert's or event's id.

    `seq` is the queue's order. `created_wall` epoch s. `put_mono` is when this process put it in, monotonic s;
    0 for one that an earlier process wrote. `droppable`: among the first to go when there are too many events.
    """

    seq: int
    kind: Kind
    key: str
    topic: str
    payload: bytes
    created_wall: float
    droppable: bool = False
    put_mono: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStats:
    """`oldest_wall` epoch s; `bytes` on the disk; `dropped_events` since the file was made.

    `in_memory` of the pending are not on the disk yet; `fault` says why, None while the disk works.
    """

    pending_alerts: int = 0
    pending_events: int = 0
    oldest_wall: float | None = None
    bytes: int = 0
    dropped_events: int = 0
    in_memory: int = 0
    fault: str | None = None

    def alerts_wait(self) -> str:
        """How many alerts wait and where, "" for none: a part of a sentence for an operator."""
        if not self.pending_alerts:
            return ""
        if not self.in_memory:
            return f"{self.pending_alerts} alerts wait on disk"
        return (
            f"{self.pending_alerts} alerts wait, {self.in_memory} messages only in memory: a restart would lose those"
        )


@dataclass(slots=True, kw_only=True)
class Counters:
    """The highest `seq` and alert number given out so far, and the events dropped."""

    seq: int = 0
    alerts: int = 0
    dropped: int = 0

    def raise_to(self, other: Counters) -> None:
        """Count on from the higher of both, number by number."""
        self.seq, self.alerts = max(self.seq, other.seq), max(self.alerts, other.alerts)
        self.dropped = max(self.dropped, other.dropped)


def unknown_counters() -> Counters:
    """Where to count on when the last numbers cannot be read: above any that can have been used.

    Epoch seconds exceed any count of alerts; for `seq` they are shifted to leave room below, with
    random low bits so that a machine that booted without the time does not repeat itself either.
    """
    now = int(time.time())
    return Counters(seq=(now << 20) | secrets.randbits(20), alerts=now)
