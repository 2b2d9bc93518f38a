"""The queue of what the broker is owed: in memory for those who send, on the disk for what comes after a crash.

Nothing here waits for the disk but `run`, which one thread calls: it writes what was put, acknowledged and saved
since its last round, all in one transaction. An alert waits with its sending (`hold_s`) until that transaction is
on the disk, power cut or not. Where the disk fails, or takes longer than `slow_s`, the alert goes out from memory,
`stats().fault` says so, and it is written when the disk is back.

In memory is the head of the queue, a bounded number of each kind; the rest is read from the disk when the head
is sent. `seq` is the queue's order: it rises and is never used twice, over deletions, restarts and damage. Alerts
have a count of their own besides, without gaps, which `put` writes into their document as `seq`: a subscriber
that sees 7, then 9, missed one.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.errors import StorageError
from detector.core.types import JsonObject

from .database import DamagedError, open_or_set_aside, set_aside
from .outbox_db import LAYOUT, OutboxBatch, OutboxFile, last_numbers
from .outbox_entries import KINDS, Entry, Kind, OutboxStats
from .outbox_queue import EntryQueue
from .payloads import encode

log = logging.getLogger(__name__)

MAX_EVENTS = 10_000
HEAD = 500  # entries of a kind in memory: some 0.5 MB
SLOW_S = 0.9  # with the way to the socket, an alert leaves within a second
_LOOK_S = 0.25  # how long a stop or the end of a pause may go unnoticed
_LINGER_S = 0.02


class Outbox:
    """`run` in one thread, the rest from any; no call raises StorageError. Opens (and reads) the file when made.

    Events are capped at `max_events`, updates first, the oldest before the newer; alerts never go. `retry_s`: how
    long a failing disk is left alone, `slow_s`: how long an alert waits for a slow one, monotonic s.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_events: int = MAX_EVENTS,
        retry_s: float = 5.0,
        slow_s: float = SLOW_S,
        head: int = HEAD,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if max_events < 1:
            raise ValueError("max_events must be at least 1")
        self._path, self._max_events, self._head = path, max_events, head
        self._queue = EntryQueue(head=head, max_events=max_events)
        self._retry_s, self._slow_s, self._clock = retry_s, slow_s, clock
        self._changed = threading.Condition()  # never held over the disk
        self._at_disk = threading.Lock()  # held by the one thread that is in a round; nothing waits for it
        self._on_change: Callable[[], None] = lambda: None
        self._file: OutboxFile | None = None
        self._states: dict[str, JsonObject] = {}
        self._unsaved: set[str] = set()  # states that the disk does not know yet
        self._bytes = 0
        self._fault: str | None = None
        self._unreadable = False  # what waits on the disk cannot be had: alerts of memory's go before it
        self._retry_at = -math.inf
        self.progress_mono = clock.mono()
        self.flush()
        if self._file is None:
            self._queue.counters.raise_to(last_numbers(path))

    # From any thread; nothing here waits for the disk

    def listen(self, callback: Callable[[], None]) -> None:
        """Have `callback` called after each round of the disk."""
        self._on_change = callback

    def put(
        self,
        *,
        kind: Kind,
        key: str,
        topic: str,
        document: dict[str, Any],
        created_wall: float,
        droppable: bool = False,
    ) -> Entry:
        """Queue one message, and write an alert's number into its `document` as `seq`.

        An alert whose `key` still waits is not queued again: that entry returns. ValueError for a document that
        JSON cannot say.
        """
        with self._changed:
            if kind == "alert" and (waiting := self._queue.find_alert(key)) is not None:
                return waiting
            counters = self._queue.counters
            if kind == "alert":
                document["seq"] = counters.alerts + 1
            payload = encode(document)
            counters.seq += 1
            counters.alerts += kind == "alert"
            entry = Entry(
                seq=counters.seq,
                kind=kind,
                key=key,
                topic=topic,
                payload=payload,
                created_wall=created_wall,
                droppable=droppable,
                put_mono=self._clock.mono(),
            )
            self._queue.add(entry)
            self._changed.notify()
            return entry

    def first(self, kind: Kind, *, beside: Collection[int] = ()) -> Entry | None:
        """The first that waits and is not among `beside`, as far as memory knows."""
        with self._changed:
            return self._queue.first(kind, beside=beside, unread_too=self._unreadable)

    def more(self, kind: Kind) -> bool:
        """Whether `first` will know of further ones once the disk has been read."""
        with self._changed:
            return self._queue.more[kind] and not self._unreadable

    def hold_s(self, entry: Entry) -> float:
        """How long to wait with sending `entry` for the disk to have it, s; 0: send it."""
        with self._changed:
            if entry.seq not in self._queue.unwritten or self._fault is not None:
                return 0.0
            return max(0.0, entry.put_mono + self._slow_s - self._clock.mono())

    def acknowledged(self, seqs: Iterable[int]) -> None:
        """The broker has these: they are not given out again, and stay on the disk until `done`."""
        with self._changed:
            self._queue.acknowledge(seqs)
            self._changed.notify()  # the head may want to be filled up

    def done(self, seqs: Iterable[int]) -> None:
        """Delete these. Unknown numbers are no error."""
        with self._changed:
            self._queue.remove(set(seqs))
            self._changed.notify()

    def get_state(self, name: str) -> dict[str, Any] | None:
        """The small document kept under `name`; None where there is none."""
        with self._changed:
            return dict(self._states[name]) if name in self._states else None

    def save_state(self, name: str, document: JsonObject) -> None:
        """Keep a small document, on the disk as soon as it can be, before any alert put after it; the last value wins."""
        with self._changed:
            if self._states.get(name) == document:
                return
            self._states[name] = dict(document)
            self._unsaved.add(name)
            self._changed.notify()

    def stats(self) -> OutboxStats:
        """Counts what is acknowledged but not yet deleted; never waits."""
        with self._changed:
            queue = self._queue
            return OutboxStats(
                pending_alerts=queue.waiting["alert"],
                pending_events=queue.waiting["event"],
                oldest_wall=queue.oldest_wall,
                bytes=self._bytes,
                dropped_events=queue.counters.dropped,
                in_memory=len(queue.unwritten),
                fault=self._fault or self._slow_fault(),
            )

    # For the thread of `run`

    def run(self, stop: threading.Event) -> None:
        """Write what comes in until `stop`; `close` it afterwards."""
        while not stop.is_set():
            with self._changed:
                self._changed.wait_for(self._has_work, _LOOK_S)
                # A state is often followed by the alert that changed it: one sync of the disk for both.
                self._changed.wait_for(lambda: self._holds_alert() or not self._has_work(), _LINGER_S)
            self.flush()

    def flush(self) -> None:
        """One round: write what the disk does not know, and fill up the head. Raises nothing."""
        self.progress_mono = self._clock.mono()
        with self._changed:
            if not self._has_work() and not (self._file is None and self._fault is None):
                return
        if not self._at_disk.acquire(blocking=False):
            return  # the thread of `run` hangs at the disk while another closes
        try:
            unwritten = self._try_round()
        except StorageError as error:
            self._failed(error, readable=False)
        else:
            if unwritten is None:
                self._recovered()
            else:
                self._failed(unwritten, readable=True)
        finally:
            self._at_disk.release()
        self.progress_mono = self._clock.mono()
        self._on_change()

    def close(self) -> None:
        """After `run`: try once more to write what is only in memory; say what is lost if that fails."""
        self._retry_at = -math.inf
        self.flush()
        if lost := len(self._queue.unwritten):
            log.error("%d alerts and events are lost with this process: %s", lost, self._fault)
        if self._file is not None and self._at_disk.acquire(blocking=False):
            with suppress(StorageError):
                self._file.close()
            self._file = None
            self._at_disk.release()

    # -- inside, under `_changed` -------------------------------------------------------------------

    def _has_work(self) -> bool:
        wants_more = any(self._queue.wanted_after(kind) is not None for kind in KINDS)
        if self._fault is not None:
            return self._clock.mono() >= self._retry_at or (wants_more and not self._unreadable)
        return self._queue.has_work or bool(self._unsaved) or wants_more

    def _holds_alert(self) -> bool:
        return any(entry.kind == "alert" for entry in self._queue.unwritten.values())

    def _slow_fault(self) -> str | None:
        late = self._clock.mono() - self._slow_s
        if any(entry.kind == "alert" and entry.put_mono <= late for entry in self._queue.unwritten.values()):
            return f"{self._path} takes longer than {self._slow_s:g} s to write: alerts go out from memory meanwhile"
        return None

    # -- inside: the disk, without a lock -----------------------------------------------------------

    def _try_round(self) -> StorageError | None:
        try:
            return self._round()
        except DamagedError:
            return self._round()  # it was set aside: with a new file

    def _round(self) -> StorageError | None:
        """Why nothing could be written, if the file can still be read; raises StorageError if it cannot."""
        failed = None
        file = self._opened()
        with self._changed:
            batch = replace(self._queue.batch(), states={name: self._states[name] for name in self._unsaved})
        try:
            try:
                if batch.entries or batch.done or batch.states:
                    self._written(batch, file.write(batch))
            except DamagedError:
                raise
            except StorageError as error:
                failed = error  # a full disk can still be read
            for kind in KINDS:
                self._fill_up(file, kind)
            self._bytes = file.bytes()
        except DamagedError as error:
            self._leave(file)
            aside = set_aside(self._path)
            log.error("%s: it is kept as %s and a new file goes on", error, aside.name)  # noqa: TRY400 - the stack says nothing
            raise
        return failed

    def _written(self, batch: OutboxBatch, dropped: list[Entry]) -> None:
        with self._changed:
            self._queue.written(batch, dropped)
            self._unsaved -= {name for name, value in batch.states.items() if self._states[name] is value}

    def _fill_up(self, file: OutboxFile, kind: Kind) -> None:
        with self._changed:
            after = self._queue.wanted_after(kind)
        if after is None:
            return
        entries, rotten = file.pending(kind, after_seq=after, limit=self._head)
        with self._changed:
            self._queue.fill(kind, entries, rotten)

    def _opened(self) -> OutboxFile:
        if self._file is not None and not self._file.in_place():
            self._leave(self._file)
        if self._file is None:
            self._file = self._open()
        return self._file

    def _open(self) -> OutboxFile:
        database = open_or_set_aside(self._path, LAYOUT, rescue=self._rescue_numbers)
        file = OutboxFile(database, max_events=self._max_events)
        try:
            numbers, counts, states = file.counters(), file.counts(), file.states()
        except BaseException:
            file.close()
            raise
        with self._changed:
            self._states = {**states, **self._states}
            self._queue.file_opened(numbers, counts)
        return file

    def _rescue_numbers(self) -> None:
        """A damaged file is about to be set aside: count on above its numbers."""
        if self._queue.counters.seq == 0:
            self._queue.counters.raise_to(last_numbers(self._path))

    def _leave(self, file: OutboxFile) -> None:
        """The file is damaged or was taken away: all that memory holds is to be written to the next one."""
        rescued: list[Entry] = []
        with suppress(StorageError):  # a deleted file can still be read while it is open
            rescued = [entry for kind in KINDS for entry in file.pending(kind, after_seq=0, limit=-1)[0]]
        with suppress(StorageError):
            file.close()
        with self._changed:
            self._file = None
            self._queue.file_lost(rescued)
            self._unsaved = set(self._states)

    def _failed(self, error: StorageError, *, readable: bool) -> None:
        with self._changed:
            self._unreadable = not readable
            if self._fault is None:
                log.error("alerts go out from memory, and a restart would lose them: %s", error)
            self._fault = str(error)
            self._retry_at = self._clock.mono() + self._retry_s

    def _recovered(self) -> None:
        with self._changed:
            if self._fault is not None:
                log.warning("the outbox is on the disk again: %s", self._path)
            self._fault, self._unreadable = None, False
