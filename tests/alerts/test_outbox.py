"""The outbox that never says no: on the disk, and in memory while the disk fails."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from detector.alerts.outbox import Entry, NewEntry, ResilientOutbox
from detector.alerts.outbox_db import Outbox
from detector.alerts.outbox_entries import Kind
from support.visits import StillClock, full_disk

RETRY_S = 5.0
MAX_EVENTS = 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def outbox(path: Path, clock: StillClock) -> Iterator[ResilientOutbox]:
    with closing(ResilientOutbox(path, clock=clock, retry_s=RETRY_S)) as opened:
        yield opened


def new(key: str, kind: Kind = "alert", step: str = "update") -> NewEntry:
    return NewEntry(kind=kind, key=key, topic="t", payload={"id": key, "type": step}, created_wall=1.0)


def put(outbox: ResilientOutbox, key: str, kind: Kind = "alert", step: str = "update") -> Entry:
    return outbox.put_many([new(key, kind, step)])[0]


def keys(outbox: ResilientOutbox | Outbox) -> list[str]:
    return [entry.key for entry in outbox.pending(1000)]


def on_disk(path: Path) -> list[str]:
    with closing(Outbox(path)) as disk:
        return keys(disk)


def test_with_a_sound_disk_it_is_the_disk(outbox: ResilientOutbox, path: Path) -> None:
    entry = outbox.put(kind="alert", key="a", topic="t", payload={"x": 1}, created_wall=1.0)
    assert (entry.seq, entry.payload) == (1, {"x": 1, "seq": 1})
    assert on_disk(path) == ["a"]
    outbox.mark_sent([1])
    assert outbox.pending(10)[0].sent
    outbox.done([1])
    assert outbox.pending(10) == []
    assert on_disk(path) == []
    assert outbox.stats().fault is None


def test_alerts_go_on_through_a_full_disk_and_are_written_once_there_is_room(
    outbox: ResilientOutbox, path: Path, clock: StillClock, caplog: pytest.LogCaptureFixture
) -> None:
    first = put(outbox, "before")
    with full_disk():
        kept = [put(outbox, key) for key in ("a", "b")]
        assert outbox.pending(10) == [first, *kept]
        assert outbox.pending(1, after_seq=first.seq) == kept[:1]
        assert [entry.payload["seq"] for entry in (first, *kept)] == [1, 2, 3]
        assert put(outbox, "a") == kept[0]
        outbox.mark_sent([first.seq, kept[0].seq])
        assert [entry.sent for entry in outbox.pending(10)] == [True, True, False]
        figures = outbox.stats()
        assert (figures.in_memory, figures.pending_alerts) == (2, 3)
        assert figures.fault is not None
        clock.now_mono += RETRY_S
        put(outbox, "c")  # tried again, in vain
        assert outbox.stats().in_memory == 3
    assert on_disk(path) == ["before"]
    clock.now_mono += RETRY_S
    assert keys(outbox) == ["before", "a", "b", "c"]
    assert on_disk(path) == ["before", "a", "b", "c"]
    assert [entry.sent for entry in outbox.pending(10)] == [True, True, False, False]
    figures = outbox.stats()
    assert (figures.in_memory, figures.pending_alerts, figures.fault) == (0, 4, None)
    assert put(outbox, "d").payload["seq"] == 5
    assert caplog.text.count("alerts go out from memory") == 1
    assert caplog.text.count("on the disk again") == 1


def test_acknowledged_while_the_disk_fails(outbox: ResilientOutbox, path: Path, clock: StillClock) -> None:
    first, second = put(outbox, "a"), put(outbox, "b")
    with full_disk():
        kept = put(outbox, "c")
        outbox.done([first.seq, kept.seq])
        assert outbox.pending(10) == [second]
        assert outbox.pending(1) == [second]
    clock.now_mono += RETRY_S
    assert outbox.pending(10) == [second]
    assert on_disk(path) == ["b"]
    assert put(outbox, "d").seq > kept.seq


def test_an_alert_put_again_after_its_acknowledgement(outbox: ResilientOutbox, path: Path, clock: StillClock) -> None:
    first = put(outbox, "a")
    with full_disk():
        outbox.done([first.seq])
        second = put(outbox, "a")
    clock.now_mono += RETRY_S
    assert outbox.pending(10) == [second]  # its deletion came before, or the first would have hidden it
    assert on_disk(path) == ["a"]


def test_a_failing_disk_is_left_alone_for_a_while(outbox: ResilientOutbox, path: Path, clock: StillClock) -> None:
    with full_disk():
        put(outbox, "a")
    put(outbox, "b")
    assert outbox.stats().in_memory == 2
    clock.now_mono += RETRY_S
    put(outbox, "c")
    assert outbox.stats().in_memory == 0
    assert on_disk(path) == ["a", "b", "c"]


def test_state_while_the_disk_fails(outbox: ResilientOutbox, path: Path, clock: StillClock) -> None:
    outbox.set_state("alarm", {"state": "armed_away"})
    assert outbox.get_state("nothing") is None
    with full_disk():
        outbox.set_state("alarm", {"state": "disarmed"})
        assert outbox.get_state("alarm") == {"state": "disarmed"}
    clock.now_mono += RETRY_S
    outbox.pending(1)
    with closing(Outbox(path)) as disk:
        assert disk.get_state("alarm") == {"state": "disarmed"}


def test_events_in_memory_are_capped_too(path: Path, clock: StillClock) -> None:
    with closing(ResilientOutbox(path, clock=clock, max_events=2, retry_s=RETRY_S)) as outbox:
        with full_disk():
            put(outbox, "alert")
            for key, step in (("n1", "new"), ("u1", "update"), ("n2", "new"), ("n3", "new")):
                put(outbox, key, "event", step)
            assert keys(outbox) == ["alert", "n2", "n3"]
            assert outbox.stats().dropped_events == 2
        clock.now_mono += RETRY_S
        assert keys(outbox) == ["alert", "n2", "n3"]
        assert outbox.stats().dropped_events == 2


def test_a_folder_that_cannot_be_used_at_first(tmp_path: Path, clock: StillClock) -> None:
    folder = tmp_path / "data"
    folder.write_text("in the way")
    with closing(ResilientOutbox(folder / "outbox.db", clock=clock, retry_s=RETRY_S)) as outbox:
        assert outbox.get_state("alarm") is None
        entries = [put(outbox, "a"), put(outbox, "b")]
        assert entries[0].seq > 1_700_000_000 << 20  # above any number that the disk may hold
        assert entries[1].payload["seq"] == entries[0].payload["seq"] + 1
        assert outbox.pending(10) == entries
        assert outbox.stats().fault is not None
        folder.unlink()
        clock.now_mono += RETRY_S
        assert outbox.pending(10) == entries
        assert on_disk(folder / "outbox.db") == ["a", "b"]
        assert put(outbox, "c").seq == entries[1].seq + 1


def test_a_file_deleted_in_use_is_written_anew(outbox: ResilientOutbox, path: Path, clock: StillClock) -> None:
    outbox.set_state("alarm", {"state": "disarmed"})
    entries = [put(outbox, "a")]
    for side in path.parent.glob("outbox.db*"):
        side.unlink()
    entries.append(put(outbox, "b"))
    assert outbox.pending(10) == entries
    clock.now_mono += RETRY_S
    assert outbox.pending(10) == entries
    assert on_disk(path) == ["a", "b"]
    assert outbox.get_state("alarm") == {"state": "disarmed"}
    assert put(outbox, "c").seq == entries[-1].seq + 1


def test_a_disk_that_cannot_be_read_either(outbox: ResilientOutbox) -> None:
    put(outbox, "a")
    assert outbox._disk is not None
    outbox._disk.close()  # every statement fails from here on
    assert outbox.get_state("alarm") is None
    kept = put(outbox, "b")
    assert outbox.pending(10) == [kept]
    outbox.done([kept.seq])
    assert outbox.pending(10) == []


def test_a_call_that_fails_while_all_seemed_well(outbox: ResilientOutbox, path: Path, clock: StillClock) -> None:
    put(outbox, "a")
    with full_disk():
        outbox.done([1])
    assert outbox.pending(10) == []
    assert outbox.stats().fault is not None
    clock.now_mono += RETRY_S
    outbox.done([])
    assert on_disk(path) == []


def test_closing_writes_what_it_can(path: Path, clock: StillClock) -> None:
    outbox = ResilientOutbox(path, clock=clock)
    with full_disk():
        put(outbox, "a")
    outbox.close()
    assert on_disk(path) == ["a"]


def test_closing_says_what_is_lost(path: Path, clock: StillClock, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir()
    outbox = ResilientOutbox(path, clock=clock)
    put(outbox, "a")
    outbox.close()
    assert "1 alerts and events are lost" in caplog.text


def test_what_json_cannot_say_is_refused_in_memory_too(outbox: ResilientOutbox) -> None:
    with full_disk():
        put(outbox, "a")
        with pytest.raises(ValueError, match="JSON"):
            outbox.put(kind="alert", key="x", topic="t", payload={"x": math.inf}, created_wall=0.0)
    assert keys(outbox) == ["a"]


class OutboxModel(RuleBasedStateMachine):
    """Against a plain list, over restarts and full disks; alerts never go, numbers never come back."""

    @initialize()
    def open(self) -> None:
        # In memory where there is such a place: hundreds of runs need not wear a disk.
        self.folder = TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.path = Path(self.folder.name) / "outbox.db"
        self.clock = StillClock()
        self.full = False
        self.outbox = ResilientOutbox(self.path, clock=self.clock, max_events=MAX_EVENTS, retry_s=RETRY_S)
        self.waiting: list[Entry] = []
        self.state: dict[str, int] | None = None
        self.last_seq = self.last_alert = self.dropped = 0

    def disk(self) -> AbstractContextManager[None]:
        return full_disk() if self.full else nullcontext()

    @rule(batch=st.lists(st.tuples(st.sampled_from(["alert", "event"]), st.integers(0, 5)), min_size=1, max_size=4))
    def put(self, batch: list[tuple[Kind, int]]) -> None:
        known = {entry.key: entry for entry in self.waiting if entry.kind == "alert"}
        with self.disk():
            entries = self.outbox.put_many([new(f"{kind}{number}", kind, "new") for kind, number in batch])
        for entry in entries:
            if entry.kind == "alert" and entry.key in known:
                assert entry.seq == known[entry.key].seq
                continue
            known[entry.key] = entry
            assert entry.seq > self.last_seq
            self.last_seq = entry.seq
            if entry.kind == "alert":
                assert entry.payload["seq"] == self.last_alert + 1
                self.last_alert = entry.payload["seq"]
            self.waiting.append(entry)

    @rule(data=st.data(), sent=st.booleans())
    def acknowledge(self, data: st.DataObject, sent: bool) -> None:
        seqs = data.draw(st.lists(st.sampled_from([e.seq for e in self.waiting]))) if self.waiting else [1]
        with self.disk():
            (self.outbox.mark_sent if sent else self.outbox.done)(seqs)
        if not sent:
            self.waiting = [entry for entry in self.waiting if entry.seq not in seqs]

    @rule(value=st.integers())
    def keep(self, value: int) -> None:
        self.state = {"value": value}
        with self.disk():
            self.outbox.set_state("alarm", self.state)

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
        self.outbox = ResilientOutbox(self.path, clock=self.clock, max_events=MAX_EVENTS, retry_s=RETRY_S)
        assert self.outbox.stats().fault is None

    @invariant()
    def nothing_is_lost_but_capped_events(self) -> None:
        with self.disk():
            found = self.outbox.pending(1000)
            state = self.outbox.get_state("alarm")
        seqs = [entry.seq for entry in found]
        assert seqs == sorted(set(seqs))
        assert {e.seq for e in found} <= {e.seq for e in self.waiting}
        assert {e.seq for e in self.waiting if e.kind == "alert"} <= set(seqs)
        missing = {e.seq for e in self.waiting if e.kind == "event"} - set(seqs)
        if missing:
            assert sum(e.kind == "event" for e in self.waiting) > MAX_EVENTS
        self.dropped += len(missing)
        assert self.outbox.stats().dropped_events == self.dropped
        self.waiting = [e for e in self.waiting if e.seq not in missing]
        assert state == self.state

    def teardown(self) -> None:
        self.outbox.close()
        self.folder.cleanup()


OutboxModel.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestModel = OutboxModel.TestCase
