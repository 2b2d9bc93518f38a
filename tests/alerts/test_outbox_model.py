"""The outbox in any order of calls, crashes and full disks: what a model of it says, it does."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from detector.alerts.outbox import Outbox
from detector.alerts.outbox_entries import Entry, Kind
from support.outboxes import number, opened, put, waiting
from support.visits import StillClock, full_disk

RETRY_S = 5.0
MAX_EVENTS = 5


class OutboxModel(RuleBasedStateMachine):
    """Against a plain list, over restarts and full disks; alerts never go, numbers never come back."""

    @initialize(head=st.sampled_from([2, 500]))
    def open(self, head: int) -> None:
        # In memory where there is such a place: hundreds of runs need not wear a disk.
        self.folder = TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.path = Path(self.folder.name) / "outbox.db"
        self.clock = StillClock(mono=1000.0)
        self.full = False
        self.head = head
        self.outbox = self.new()
        self.entries: list[Entry] = []
        self.state: dict[str, int] | None = None
        self.last_seq = self.last_alert = self.events = 0

    def new(self) -> Outbox:
        return Outbox(self.path, clock=self.clock, max_events=MAX_EVENTS, retry_s=RETRY_S, head=self.head)

    def disk(self) -> AbstractContextManager[None]:
        return full_disk() if self.full else nullcontext()

    @rule(kind=st.sampled_from(["alert", "event"]), n=st.integers(0, 50))
    def put(self, kind: Kind, n: int) -> None:
        known = {entry.key: entry for entry in self.entries if entry.kind == "alert"}
        key = f"{kind}{n}"
        if kind == "alert" and key in known and self.head == 2:
            return  # whether it waits may only be known to the disk
        entry = put(self.outbox, key, kind)
        if key in known:
            assert entry.seq == known[key].seq
            return
        assert entry.seq > self.last_seq
        self.last_seq = entry.seq
        self.entries.append(entry)
        if kind == "alert":
            assert number(entry) == self.last_alert + 1
            self.last_alert += 1

    @rule()
    def write(self) -> None:
        with self.disk():
            self.outbox.flush()

    @rule(kind=st.sampled_from(["alert", "event"]))
    def acknowledge_the_first(self, kind: Kind) -> None:
        entry = self.outbox.first(kind)
        if entry is not None:
            self.outbox.done([entry.seq])
            self.entries = [one for one in self.entries if one.seq != entry.seq]

    @rule(value=st.integers())
    def keep(self, value: int) -> None:
        self.state = {"value": value}
        self.outbox.save_state("alarm", self.state)

    @rule(full=st.booleans())
    def change_disk(self, full: bool) -> None:
        self.full = full

    @rule(seconds=st.sampled_from([1.0, RETRY_S]))
    def wait(self, seconds: float) -> None:
        self.clock.now_mono += seconds

    @precondition(lambda self: not self.full)
    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.outbox = self.new()
        assert self.outbox.stats().fault is None
        self.check_all()

    @invariant()
    def order_and_figures(self) -> None:
        found = waiting(self.outbox)
        known = {entry.seq for entry in self.entries}
        for kind in ("alert", "event"):
            seqs = [entry.seq for entry in found if entry.kind == kind]
            assert set(seqs) <= known
            alerts = [entry.seq for entry in self.entries if entry.kind == "alert"]
            assert kind == "event" or seqs == alerts[: len(seqs)], "in order and without a hole"
        figures = self.outbox.stats()
        assert figures.pending_alerts == sum(entry.kind == "alert" for entry in self.entries)
        assert figures.pending_events + figures.dropped_events <= self.last_seq
        assert self.outbox.get_state("alarm") == self.state

    def check_all(self) -> None:
        """All alerts are there, and the newest events up to the cap."""
        with closing(opened(self.path, max_events=MAX_EVENTS)) as file:
            alerts, _ = file.pending("alert", after_seq=0, limit=-1)
            events, _ = file.pending("event", after_seq=0, limit=-1)
        assert [entry.seq for entry in alerts] == [entry.seq for entry in self.entries if entry.kind == "alert"]
        kept = [entry.seq for entry in self.entries if entry.kind == "event"]
        assert len(events) <= MAX_EVENTS
        assert {entry.seq for entry in events} <= set(kept)
        self.entries = [e for e in self.entries if e.kind == "alert" or e.seq in {one.seq for one in events}]

    def teardown(self) -> None:
        self.outbox.close()
        if not self.full:
            self.check_all()
        self.folder.cleanup()


OutboxModel.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestModel = OutboxModel.TestCase
