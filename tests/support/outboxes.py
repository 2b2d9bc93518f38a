"""Entries for an outbox."""

from __future__ import annotations

from typing import Any

from detector.alerts.outbox_db import Outbox
from detector.alerts.outbox_entries import Entry, NewEntry

PAGE = 4096  # of SQLite


def put_alert(outbox: Outbox, key: str, **payload: Any) -> Entry:
    return outbox.put(kind="alert", key=key, topic="d/alerts", payload={"id": key, **payload}, created_wall=10.0)


def an_event(key: str, kind: str = "update", wall: float = 20.0) -> NewEntry:
    return NewEntry(kind="event", key=key, topic="d/events", payload={"type": kind, "id": key}, created_wall=wall)


def keys(outbox: Outbox) -> list[str]:
    return [entry.key for entry in outbox.pending(1000)]
