"""The outbox that the dispatcher uses: on the disk, and in memory for as long as the disk fails.

An alert must go out when the disk is full too. What cannot be written is kept here, numbered on from
the disk's last numbers, and written as soon as the disk takes it again. Until then a crash loses it, so
`stats().fault` says why and the log says it once.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import StorageError
from detector.core.types import JsonObject

from .outbox_db import MAX_EVENTS, Outbox
from .outbox_entries import Counters, Entry, Kind, NewEntry, OutboxStats, is_update, next_entry, unknown_counters

__all__ = ["MAX_EVENTS", "Entry", "Kind", "NewEntry", "Outbox", "OutboxStats", "ResilientOutbox"]

log = logging.getLogger(__name__)


class ResilientOutbox:
    """`Outbox` without its errors: no call raises StorageError. Safe from any thread.

    `retry_s`: how long to leave a failing disk alone, monotonic s.
    """

    def __init__(
        self, path: Path, *, max_events: int = MAX_EVENTS, retry_s: float = 5.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._path = path
        self._max_events = max_events
        self._retry_s = retry_s
        self._clock = clock
        self._lock = threading.RLock()
        self._disk: Outbox | None = None
        self._counters: Counters | None = None  # known once the disk was read, or once it had to be guessed
        # What the disk does not know yet.
        self._entries: dict[int, Entry] = {}
        self._sent: set[int] = set()
        self._done: set[int] = set()
        self._state: dict[str, JsonObject] = {}
        self._fault: str | None = None
        self._retry_at = -math.inf
        self._figures = OutboxStats()
        self._reach()

    def put(self, *, kind: Kind, key: str, topic: str, payload: JsonObject, created_wall: float) -> Entry:
        """Keep one entry, on the disk if it can be; see `Outbox.put`."""
        return self.put_many([NewEntry(kind=kind, key=key, topic=topic, payload=payload, created_wall=created_wall)])[0]

    def put_many(self, news: Iterable[NewEntry]) -> list[Entry]:
        """Keep all, in one transaction where the disk takes it."""
        batch = list(news)
        with self._lock:
            if (disk := self._reach()) is not None:
                try:
                    entries = disk.put_many(batch)
                except StorageError as error:
                    self._fail(error)
                else:
                    self._counters = replace(disk.counters)
                    self._measure()
                    return entries
            entries = [self._keep(new) for new in batch]
            self._measure()
            return entries

    def pending(self, limit: int, after_seq: int = 0) -> list[Entry]:
        """The first `limit` entries behind `after_seq`, in order, from the disk and from memory."""
        with self._lock:
            self._reach()
            found = {entry.seq: entry for entry in self._from_disk(limit + len(self._done), after_seq)}
            found |= {seq: entry for seq, entry in self._entries.items() if seq > after_seq}
            waiting = [found[seq] for seq in sorted(found.keys() - self._done)[:limit]]
            return [replace(entry, sent=entry.sent or entry.seq in self._sent) for entry in waiting]

    def mark_sent(self, seqs: Iterable[int]) -> None:
        """Remember that these were handed to the broker."""
        self._note(self._sent, set(seqs))

    def done(self, seqs: Iterable[int]) -> None:
        """Forget these: the broker has them."""
        self._note(self._done, set(seqs))

    def get_state(self, name: str) -> dict[str, Any] | None:
        """The small document kept under `name`; None where there is none or the disk cannot be read."""
        with self._lock:
            if name in self._state:
                return dict(self._state[name])
            try:
                return self._disk.get_state(name) if self._disk is not None else None
            except StorageError as error:
                self._fail(error)
                return None

    def set_state(self, name: str, value: JsonObject) -> None:
        """Keep a small document, on the disk as soon as it can be."""
        with self._lock:
            self._state[name] = dict(value)
            self._push()

    def stats(self) -> OutboxStats:
        """Figures as of the last change; never waits. Counts what is acknowledged but not yet deleted."""
        return self._figures

    def close(self) -> None:
        """Try once more to write what is only in memory; say what is lost if that fails."""
        with self._lock:
            self._retry_at = -math.inf
            if self._reach() is None and self._entries:
                log.error("%d alerts and events are lost with this process: %s", len(self._entries), self._fault)
            if self._disk is not None:
                self._disk.close()
                self._disk = None

    # -- inside -------------------------------------------------------------------------------------

    def _reach(self) -> Outbox | None:
        """The disk, once it has taken all that memory holds; None while it fails or is left alone."""
        if self._disk is not None and self._fault is None:
            return self._disk
        if self._fault is not None and self._clock.mono() < self._retry_at:
            return None
        try:
            self._disk = self._settled()
        except StorageError as error:
            self._fail(error)
            return None
        if self._fault is not None:
            log.warning("the outbox is on the disk again: %s", self._path)
        self._fault = None
        self._measure()
        return self._disk

    def _settled(self) -> Outbox:
        """The open outbox, or else a newly opened one, after `_settle`."""
        old = self._disk
        if old is not None:
            try:
                self._settle(old)
            except StorageError:
                log.debug("the outbox still fails: opening it anew")
            else:
                return old
            if not old.in_place():
                self._rescue(old)
                old.close()
                self._disk = None
        fresh = Outbox(self._path, max_events=self._max_events)
        try:
            self._settle(fresh)
        except BaseException:
            fresh.close()
            raise
        if self._disk is not None:
            self._disk.close()
        return fresh

    def _rescue(self, old: Outbox) -> None:
        """A file that was deleted or moved while open can still be read through its connection."""
        with suppress(StorageError):
            self._entries = {entry.seq: entry for entry in old.pending(sys.maxsize)} | self._entries
            self._state = {**old.states(), **self._state}

    def _settle(self, disk: Outbox) -> None:
        """Write what memory holds. Each step may be repeated, so a failure half-way does no harm."""
        # Deletions first: an acknowledged alert must not stand in the way of a new one of the same key.
        disk.done(self._done)
        counters = self._counters or Counters()
        if self._entries or counters.seq > disk.counters.seq:  # numbers whose entries are gone again count too
            disk.adopt(self._entries.values(), counters=counters)
        disk.mark_sent(self._sent)
        for name, value in self._state.items():
            disk.set_state(name, value)
        for kept in (self._entries, self._sent, self._done, self._state):
            kept.clear()
        self._counters = replace(disk.counters)

    def _fail(self, error: StorageError) -> None:
        if self._fault is None:
            log.error("alerts go out from memory, and a restart would lose them: %s", error)
        self._fault = str(error)
        self._retry_at = self._clock.mono() + self._retry_s
        self._measure()

    def _keep(self, new: NewEntry) -> Entry:
        if new.kind == "alert" and (waiting := self._waiting_alert(new.key)) is not None:
            return waiting
        if self._counters is None:
            self._counters = unknown_counters()
        entry = next_entry(new, self._counters)
        self._entries[entry.seq] = entry
        self._cap(self._counters)
        return entry

    def _waiting_alert(self, key: str) -> Entry | None:
        for entry in self._entries.values():
            if entry.kind == "alert" and entry.key == key:
                return entry
        with suppress(StorageError):
            found = self._disk.waiting_alert(key) if self._disk is not None else None
            return found if found is None or found.seq not in self._done else None
        return None

    def _cap(self, counters: Counters) -> None:
        events = [entry for entry in self._entries.values() if entry.kind == "event"]
        if len(events) > self._max_events:
            victim = next((entry for entry in events if is_update(entry.kind, entry.payload)), events[0])
            del self._entries[victim.seq]
            counters.dropped += 1

    def _note(self, known: set[int], seqs: set[int]) -> None:
        with self._lock:
            given_out = self._counters.seq if self._counters is not None else 0
            known |= {seq for seq in seqs if seq <= given_out}  # a number yet to come must not be hidden by this
            for seq in self._done & self._entries.keys():
                del self._entries[seq]
            self._push()

    def _push(self) -> None:
        """Write now what changed in memory, if the disk takes it."""
        if (disk := self._reach()) is not None:
            try:
                self._settle(disk)
            except StorageError as error:
                self._fail(error)
        self._measure()

    def _from_disk(self, limit: int, after_seq: int) -> list[Entry]:
        try:
            return self._disk.pending(limit, after_seq) if self._disk is not None else []
        except StorageError as error:
            self._fail(error)
            return []

    def _measure(self) -> None:
        disk = self._disk.stats() if self._disk is not None else OutboxStats()
        kept = list(self._entries.values())
        alerts = sum(entry.kind == "alert" for entry in kept)
        walls = [entry.created_wall for entry in kept] + ([disk.oldest_wall] if disk.oldest_wall is not None else [])
        self._figures = replace(
            disk,
            pending_alerts=disk.pending_alerts + alerts,
            pending_events=disk.pending_events + len(kept) - alerts,
            oldest_wall=min(walls, default=None),
            dropped_events=max(disk.dropped_events, self._counters.dropped if self._counters else 0),
            in_memory=len(kept),
            fault=self._fault,
        )
