"""What waits for the broker, as far as memory holds it: the head of the queue, and all that the disk does not know yet.

Not thread-safe: the outbox's lock is held around every call, never over the disk.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import replace

from .outbox_db import OutboxBatch
from .outbox_entries import KINDS, Counters, Entry, Kind

log = logging.getLogger(__name__)

_TELL_EVERY = 1000  # dropped events between two warnings


class EntryQueue:
    """`head`: entries of a kind in memory at most, apart from those that are not written; `max_events`: see `Outbox`."""

    def __init__(self, *, head: int, max_events: int) -> None:
        self._head, self._max_events = head, max_events
        self.counters = Counters()
        self.waiting: dict[Kind, int] = dict.fromkeys(KINDS, 0)  # in memory and on the disk
        self.more: dict[Kind, bool] = dict.fromkeys(KINDS, False)  # some wait on the disk, behind the head
        self.unwritten: dict[int, Entry] = {}
        self._first: dict[Kind, dict[int, Entry]] = {kind: {} for kind in KINDS}  # the head, in order
        self._done: set[int] = set()  # to be deleted on the disk
        self._acknowledged: dict[int, Kind] = {}  # by the broker, but still to be kept on the disk

    @property
    def has_work(self) -> bool:
        """Whether the disk is behind."""
        return bool(self.unwritten or self._done)

    @property
    def oldest_wall(self) -> float | None:
        """When the first that waits was made, epoch s."""
        walls = [entry.created_wall for queue in self._first.values() for entry in list(queue.values())[:1]]
        return min(walls, default=None)

    def add(self, entry: Entry) -> None:
        """The newest entry; where there are too many unwritten events, one of them goes."""
        self.unwritten[entry.seq] = entry
        self.waiting[entry.kind] += 1
        if not self.more[entry.kind]:
            self._first[entry.kind][entry.seq] = entry
        if len(self.unwritten) > self._max_events and entry.kind == "event":
            events = [one for one in self.unwritten.values() if one.kind == "event"]
            if len(events) > self._max_events:
                self._drop([next((one for one in events if one.droppable), events[0])])

    def find_alert(self, key: str) -> Entry | None:
        """The alert of this key that waits, if memory knows of one."""
        for entries in (self._first["alert"], self.unwritten):
            for entry in entries.values():
                if entry.kind == "alert" and entry.key == key and entry.seq not in self._acknowledged:
                    return entry
        return None

    def first(self, kind: Kind, *, beside: Collection[int], unread_too: bool) -> Entry | None:
        """The first of a kind that is not among `beside`. `unread_too`: those behind what the disk cannot give."""
        for entry in self._first[kind].values():
            if entry.seq not in beside:
                return entry
        if unread_too:
            for entry in self.unwritten.values():
                if entry.kind == kind and entry.seq not in beside and entry.seq not in self._acknowledged:
                    return entry
        return None

    def acknowledge(self, seqs: Iterable[int]) -> None:
        """These are not given out again, and stay on the disk until they are `remove`d."""
        for seq in seqs:
            for kind in KINDS:
                unwritten = self.unwritten.get(seq)
                if self._first[kind].pop(seq, None) or (unwritten is not None and unwritten.kind == kind):
                    self._acknowledged[seq] = kind

    def remove(self, seqs: Collection[int]) -> None:
        """Delete these; unknown numbers are no error, and one yet to come is not hidden by it."""
        self.acknowledge(seqs)
        for seq in seqs & self._acknowledged.keys():
            self.waiting[self._acknowledged.pop(seq)] -= 1
            self.unwritten.pop(seq, None)
        self._done |= {seq for seq in seqs if seq <= self.counters.seq}

    def batch(self) -> OutboxBatch:
        """What the disk does not know yet."""
        return OutboxBatch(
            entries=tuple(self.unwritten.values()), done=frozenset(self._done), counters=replace(self.counters)
        )

    def written(self, batch: OutboxBatch, dropped: list[Entry]) -> None:
        """`batch` is on the disk, which had to drop some; no more than the head stays in memory."""
        for entry in batch.entries:
            if self.unwritten.get(entry.seq) is entry:
                del self.unwritten[entry.seq]
        self._done -= batch.done
        self._drop(dropped)
        for kind, queue in self._first.items():
            for seq in list(queue)[self._head :][::-1]:
                if seq in self.unwritten:
                    break
                del queue[seq]
                self.more[kind] = True

    def wanted_after(self, kind: Kind) -> int | None:
        """The number behind which the disk is to be read for more; None while there is no need."""
        queue = self._first[kind]
        return next(reversed(queue), 0) if self.more[kind] and len(queue) <= self._head // 2 else None

    def fill(self, kind: Kind, entries: list[Entry], rotten: list[int]) -> None:
        """What the disk gave, up to the head's length; `rotten` numbers could not be read."""
        queue = self._first[kind]
        gone = self._done | self._acknowledged.keys()
        queue.update({entry.seq: entry for entry in entries if entry.seq not in gone})
        self._done |= set(rotten)
        self.waiting[kind] -= len(rotten)
        self.more[kind] = len(entries) + len(rotten) == self._head
        if not self.more[kind]:  # those that were put meanwhile follow
            late = [one for one in self.unwritten.values() if one.kind == kind and one.seq not in gone]
            queue.update({entry.seq: entry for entry in late})

    def file_opened(self, numbers: Counters, counts: dict[Kind, int]) -> None:
        """A file that holds as many of each kind: they come first, what memory holds is not written yet and follows."""
        self.counters.raise_to(numbers)
        for kind in KINDS:
            self.waiting[kind] += counts[kind]
            if counts[kind]:
                self._first[kind], self.more[kind] = {}, True

    def file_lost(self, rescued: list[Entry]) -> None:
        """All that memory holds, and what could be `rescued`, is to be written to another file."""
        held = {entry.seq: entry for entry in rescued if entry.seq not in self._done | self._acknowledged.keys()}
        for queue in self._first.values():
            held |= queue
        held |= {seq: one for seq, one in self.unwritten.items() if seq not in self._acknowledged}
        self.unwritten = {seq: held[seq] for seq in sorted(held)}
        for kind in KINDS:
            self._first[kind] = {seq: entry for seq, entry in self.unwritten.items() if entry.kind == kind}
            left = sum(one == kind for one in self._acknowledged.values())
            self.waiting[kind] = len(self._first[kind]) + left
            self.more[kind] = False

    def _drop(self, victims: Iterable[Entry]) -> None:
        before = self.counters.dropped
        for victim in victims:
            self._first[victim.kind].pop(victim.seq, None)
            self.unwritten.pop(victim.seq, None)
            if self._acknowledged.pop(victim.seq, None) is None:
                self.counters.dropped += 1
            self.waiting[victim.kind] -= 1
        dropped = self.counters.dropped
        if dropped // _TELL_EVERY > before // _TELL_EVERY or (dropped and not before):
            log.warning("the broker has been away for long: %d events were dropped so far, no alerts", dropped)
