"""Entries for an outbox, and what its file holds."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from detector.alerts.database import open_or_set_aside
from detector.alerts.outbox import Outbox
from detector.alerts.outbox_db import LAYOUT, OutboxFile
from detector.alerts.outbox_entries import KINDS, Entry, Kind

PAGE = 4096  # of SQLite


def put(outbox: Outbox, key: str, kind: Kind = "alert", step: str = "new", wall: float = 10.0, **more: Any) -> Entry:
    """One entry; `step` "update" makes an event droppable."""
    document = {"id": key, "type": step, **more}
    return outbox.put(
        kind=kind, key=key, topic=f"d/{kind}s", document=document, created_wall=wall, droppable=step == "update"
    )


def number(entry: Entry) -> int:
    """The alert's own number."""
    found: int = json.loads(entry.payload)["seq"]
    return found


def waiting(outbox: Outbox, limit: int = 100_000) -> list[Entry]:
    """What memory would give out, alerts and events in the queue's order."""
    found: list[Entry] = []
    for kind in KINDS:
        seen: set[int] = set()
        while (entry := outbox.first(kind, beside=seen)) is not None and len(found) < limit:
            seen.add(entry.seq)
            found.append(entry)
    return sorted(found, key=lambda entry: entry.seq)


def keys(outbox: Outbox) -> list[str]:
    return [entry.key for entry in waiting(outbox)]


def opened(path: Path, *, max_events: int = 10_000) -> OutboxFile:
    return OutboxFile(open_or_set_aside(path, LAYOUT), max_events=max_events)


def file_entries(file: OutboxFile) -> list[Entry]:
    found = [entry for kind in KINDS for entry in file.pending(kind, after_seq=0, limit=-1)[0]]
    return sorted(found, key=lambda entry: entry.seq)


def on_disk(path: Path) -> list[str]:
    """The keys in the file, in order."""
    with closing(opened(path)) as file:
        return [entry.key for entry in file_entries(file)]
