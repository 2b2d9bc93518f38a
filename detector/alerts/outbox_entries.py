"""What lies in an outbox: the values that go in, come out, and describe it."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

from detector.core.types import JsonObject

from .payloads import encode

Kind = Literal["alert", "event"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """What to put: `key` is the alert's or event's id, `created_wall` epoch s."""

    kind: Kind
    key: str
    topic: str
    payload: JsonObject
    created_wall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What waits: `sent` means handed to the broker before, so a further sending is a replay."""

    seq: int
    kind: Kind
    key: str
    topic: str
    payload: dict[str, Any]
    created_wall: float
    sent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStats:
    """`oldest_wall` epoch s; `bytes` on the disk; `dropped_events` since the file was made.

    `in_memory` of the pending are not on the disk yet, for the reason in `fault`.
    """

    pending_alerts: int = 0
    pending_events: int = 0
    oldest_wall: float | None = None
    bytes: int = 0
    dropped_events: int = 0
    in_memory: int = 0
    fault: str | None = None


@dataclass(slots=True, kw_only=True)
class Counters:
    """The highest `seq` and alert number given out so far, and the events dropped."""

    seq: int = 0
    alerts: int = 0
    dropped: int = 0


def unknown_counters() -> Counters:
    """Where to count on when the last numbers cannot be read: above any that can have been used.

    Epoch seconds exceed any count of alerts; for `seq` they are shifted to leave room below, with
    random low bits so that a machine that booted without the time does not repeat itself either.
    """
    now = int(time.time())
    return Counters(seq=(now << 20) | secrets.randbits(20), alerts=now)


def next_entry(new: NewEntry, counters: Counters) -> Entry:
    """`new` with the next `seq`; an alert's number goes into its payload. Counts `counters` up."""
    counters.seq += 1
    payload: dict[str, Any] = json.loads(encode(new.payload))  # what a reader will get; refuses what JSON cannot say
    if new.kind == "alert":
        counters.alerts += 1
        payload["seq"] = counters.alerts
    return Entry(
        seq=counters.seq,
        kind=new.kind,
        key=new.key,
        topic=new.topic,
        payload=payload,
        created_wall=float(new.created_wall),
    )


def is_update(kind: Kind, payload: JsonObject) -> bool:
    """Updates go first when events must be dropped: an event's start and end say more."""
    return kind == "event" and payload.get("type") == "update"
