"""The outbox that never says no: in memory for the senders, on the disk for after a crash."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from detector.alerts import outbox as outbox_module
from detector.alerts.outbox import SLOW_S, Outbox
from detector.alerts.outbox_db import OutboxBatch, OutboxFile
from detector.alerts.outbox_entries import Entry
from support.messages import running
from support.mosquitto import wait_until
from support.outboxes import keys, number, on_disk, opened, put, waiting
from support.visits import StillClock, full_disk

RETRY_S = 5.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def clock() -> StillClock:
    return StillClock(mono=1000.0)


@pytest.fixture
def outbox(path: Path, clock: StillClock) -> Iterator[Outbox]:
    with closing(Outbox(path, clock=clock, retry_s=RETRY_S)) as made:
        yield made


def test_what_is_put_waits_for_its_write_and_leaves_when_done(outbox: Outbox, path: Path) -> None:
    entry = put(outbox, "a", zones=["garden"])
    assert json.loads(entry.payload) == {"id": "a", "type": "new", "zones": ["garden"], "seq": 1}
    assert outbox.hold_s(entry) == pytest.approx(SLOW_S)
    assert on_disk(path) == []
    outbox.flush()
    assert outbox.hold_s(entry) == 0.0
    assert on_disk(path) == ["a"]
    assert (outbox.stats().fault, outbox.stats().pending_alerts) == (None, 1)
    outbox.acknowledged([entry.seq])
    assert outbox.first("alert") is None
    outbox.flush()
    assert on_disk(path) == ["a"], "acknowledged, but the history does not know yet"
    assert outbox.stats().pending_alerts == 1
    outbox.done([entry.seq, 99])
    outbox.flush()
    assert on_disk(path) == []
    assert outbox.stats().pending_alerts == 0


def test_the_next_start_goes_on_in_order_and_counts_on(path: Path) -> None:
    with closing(Outbox(path)) as outbox:
        first = [put(outbox, "a"), put(outbox, "e", "event"), put(outbox, "b")]
        outbox.done([first[0].seq])
    with closing(Outbox(path)) as outbox:
        assert waiting(outbox) == first[1:]
        assert outbox.first("alert") == first[2]
        following = put(outbox, "c")
        assert (following.seq, number(following)) == (4, 3)


def test_an_alert_that_waits_is_not_put_twice(outbox: Outbox) -> None:
    first = put(outbox, "a")
    assert put(outbox, "a", other="news") == first
    outbox.flush()
    assert put(outbox, "a") == first
    outbox.done([first.seq])
    again = put(outbox, "a")
    assert (again.seq, number(again)) == (first.seq + 1, 2)


def test_numbers_never_come_back(path: Path) -> None:
    numbers = []
    for round_ in range(3):
        with closing(Outbox(path)) as outbox:
            put(outbox, "e", "event")
            entry = put(outbox, f"a{round_}")
            numbers.append((entry.seq, number(entry)))
            outbox.flush()
            outbox.done(range(entry.seq + 1))
    assert numbers == [(2, 1), (4, 2), (6, 3)]  # alerts without gaps, whatever events come between


def test_only_the_head_is_in_memory_and_the_rest_follows_in_order(path: Path) -> None:
    count = 95
    with closing(Outbox(path, head=10)) as outbox:
        for n in range(count):
            put(outbox, f"a{n}")
            if n % 7 == 0:
                outbox.flush()
        outbox.flush()
        assert len(waiting(outbox)) == 10
    with closing(Outbox(path, head=10)) as outbox:
        assert outbox.more("alert")
        assert outbox.stats().pending_alerts == count
        late = put(outbox, "late")
        seen = []
        while (entry := outbox.first("alert")) is not None:
            seen.append(entry.key)
            outbox.done([entry.seq])
            outbox.flush()
        assert seen == [*(f"a{n}" for n in range(count)), late.key]
        assert not outbox.more("alert")
    assert on_disk(path) == []


def test_alerts_go_on_through_a_full_disk_and_are_written_once_there_is_room(
    outbox: Outbox, path: Path, clock: StillClock, caplog: pytest.LogCaptureFixture
) -> None:
    first = put(outbox, "before")
    outbox.flush()
    with full_disk():
        kept = [put(outbox, key) for key in ("a", "b")]
        outbox.flush()
        assert waiting(outbox) == [first, *kept]
        assert [number(entry) for entry in waiting(outbox)] == [1, 2, 3]
        assert [outbox.hold_s(entry) for entry in kept] == [0.0, 0.0]
        assert put(outbox, "a") == kept[0]
        figures = outbox.stats()
        assert (figures.in_memory, figures.pending_alerts) == (2, 3)
        assert figures.fault is not None
        clock.now_mono += RETRY_S
        late = put(outbox, "c")
        outbox.flush()  # tried again, in vain
        assert outbox.stats().in_memory == 3
        outbox.done([first.seq, kept[0].seq])
        outbox.flush()
        assert waiting(outbox) == [kept[1], late]
    assert on_disk(path) == ["before"]
    outbox.flush()
    assert on_disk(path) == ["before"], "a failing disk is left alone for a while"
    clock.now_mono += RETRY_S
    outbox.flush()
    assert on_disk(path) == ["b", "c"]
    figures = outbox.stats()
    assert (figures.in_memory, figures.pending_alerts, figures.fault) == (0, 2, None)
    assert number(put(outbox, "d")) == 5
    assert caplog.text.count("alerts go out from memory") == 1
    assert caplog.text.count("on the disk again") == 1


class SlowFile(OutboxFile):
    """A disk that stands still until `go_on` is set."""

    begun, go_on = threading.Event(), threading.Event()

    def write(self, batch: OutboxBatch) -> list[Entry]:
        SlowFile.begun.set()
        assert SlowFile.go_on.wait(30)
        return super().write(batch)


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[SlowFile]]:
    SlowFile.begun.clear()
    SlowFile.go_on.clear()
    monkeypatch.setattr(outbox_module, "OutboxFile", SlowFile)
    yield SlowFile
    SlowFile.go_on.set()


def test_a_disk_that_stands_still_holds_an_alert_for_a_second_and_nobody_else(
    path: Path, clock: StillClock, slow_disk: type[SlowFile]
) -> None:
    with closing(Outbox(path, clock=clock)) as outbox, running(outbox.run):
        outbox.save_state("alarm", {"state": "disarmed"})
        assert slow_disk.begun.wait(10)
        # From here on every call would hang if it waited for the disk.
        entry, event = put(outbox, "a"), put(outbox, "e", "event")
        outbox.save_state("alarm", {"state": "armed_away"})
        assert outbox.get_state("alarm") == {"state": "armed_away"}
        assert outbox.first("alert") == entry
        outbox.done([event.seq])
        assert outbox.hold_s(entry) == pytest.approx(SLOW_S)
        assert outbox.stats().fault is None
        clock.now_mono += 1.0
        assert outbox.hold_s(entry) == 0.0
        assert "takes longer" in str(outbox.stats().fault)
        assert outbox.stats().in_memory == 1
        slow_disk.go_on.set()
        wait_until(lambda: outbox.stats().in_memory == 0)
        assert outbox.stats().fault is None
        assert on_disk(path) == ["a"]


def test_a_state_is_on_the_disk_before_the_alert_that_followed(path: Path, clock: StillClock) -> None:
    with closing(Outbox(path, clock=clock)) as outbox:
        outbox.save_state("alarm", {"n": 1})
        outbox.save_state("alarm", {"n": 2})
        put(outbox, "a")
        outbox.flush()
        with closing(opened(path)) as file:
            assert file.states() == {"alarm": {"n": 2}}
    with closing(Outbox(path)) as outbox:
        assert outbox.get_state("alarm") == {"n": 2}
        assert outbox.get_state("nothing") is None


def test_state_while_the_disk_fails(outbox: Outbox, path: Path, clock: StillClock) -> None:
    outbox.save_state("alarm", {"state": "armed_away"})
    outbox.flush()
    with full_disk():
        outbox.save_state("alarm", {"state": "disarmed"})
        outbox.flush()
        assert outbox.get_state("alarm") == {"state": "disarmed"}
    clock.now_mono += RETRY_S
    outbox.flush()
    with closing(opened(path)) as file:
        assert file.states() == {"alarm": {"state": "disarmed"}}


def test_events_in_memory_are_capped_too(path: Path, clock: StillClock) -> None:
    with closing(Outbox(path, clock=clock, max_events=2, retry_s=RETRY_S)) as outbox:
        with full_disk():
            put(outbox, "alert")
            for key, step in (("n1", "new"), ("u1", "update"), ("n2", "new"), ("n3", "new")):
                put(outbox, key, "event", step)
            outbox.flush()
            assert keys(outbox) == ["alert", "n2", "n3"]
            assert outbox.stats().dropped_events == 2
        clock.now_mono += RETRY_S
        outbox.flush()
        assert keys(outbox) == on_disk(path) == ["alert", "n2", "n3"]
        assert (outbox.stats().dropped_events, outbox.stats().pending_events) == (2, 2)


def test_too_many_events_go_updates_first_and_alerts_never(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Outbox(path, max_events=3)) as outbox:
        put(outbox, "alert")
        for key, step in (("n1", "new"), ("u1", "update"), ("u2", "update"), ("n2", "new")):
            put(outbox, key, "event", step)
            outbox.flush()
        assert keys(outbox) == on_disk(path) == ["alert", "n1", "u2", "n2"]
        for key in ("n3", "n4"):
            put(outbox, key, "event")
            outbox.flush()
        assert keys(outbox) == ["alert", "n2", "n3", "n4"]
        for n in range(5):
            put(outbox, f"alert{n}")
        outbox.flush()
        assert (outbox.stats().pending_alerts, outbox.stats().dropped_events) == (6, 3)
    assert "1 events were dropped" in caplog.text
    with closing(Outbox(path, max_events=3)) as outbox:
        assert outbox.stats().dropped_events == 3


def test_a_folder_that_cannot_be_used_at_first(tmp_path: Path, clock: StillClock) -> None:
    folder = tmp_path / "data"
    folder.write_text("in the way")
    with closing(Outbox(folder / "outbox.db", clock=clock, retry_s=RETRY_S)) as outbox:
        assert outbox.get_state("alarm") is None
        entries = [put(outbox, "a"), put(outbox, "b")]
        assert entries[0].seq > 1_700_000_000 << 20  # above any number that the disk may hold
        assert number(entries[1]) == number(entries[0]) + 1
        assert waiting(outbox) == entries
        assert outbox.stats().fault is not None
        folder.unlink()
        clock.now_mono += RETRY_S
        outbox.flush()
        assert waiting(outbox) == entries
        assert on_disk(folder / "outbox.db") == ["a", "b"]
        assert put(outbox, "c").seq == entries[1].seq + 1


def test_a_start_on_a_full_disk_counts_on_from_the_last_known_number(path: Path, clock: StillClock) -> None:
    with closing(Outbox(path)) as outbox:
        for key in "abc":
            put(outbox, key)
    with full_disk():
        outbox = Outbox(path, clock=clock, retry_s=RETRY_S)
        assert outbox.stats().fault is not None
        entry = put(outbox, "d")
        assert (entry.seq, number(entry)) == (4, 4)
    clock.now_mono += RETRY_S
    outbox.flush()
    assert keys(outbox) == on_disk(path) == ["a", "b", "c", "d"]
    outbox.close()


def test_a_first_start_on_a_full_disk_begins_at_one(path: Path, clock: StillClock) -> None:
    with full_disk(), closing(Outbox(path, clock=clock)) as outbox:
        assert number(put(outbox, "a")) == 1


def test_a_file_deleted_in_use_is_written_again(path: Path, clock: StillClock) -> None:
    with closing(Outbox(path, clock=clock, head=2)) as outbox:
        outbox.save_state("alarm", {"state": "disarmed"})
        entries = [put(outbox, key) for key in "abcde"]  # three more than memory holds
        outbox.flush()
        outbox.acknowledged([entries[0].seq])
        for side in path.parent.glob("outbox.db*"):
            side.unlink()
        entries.append(put(outbox, "f"))
        outbox.flush()
        assert outbox.stats().fault is None
        assert keys(outbox)[:2] == ["b", "c"]
        assert on_disk(path) == ["b", "c", "d", "e", "f"]
        outbox.done([entries[0].seq])
        assert outbox.stats().pending_alerts == 5
        assert put(outbox, "g").seq == entries[-1].seq + 1
    with closing(opened(path)) as file:
        assert file.states() == {"alarm": {"state": "disarmed"}}


def test_closing_writes_what_it_can(path: Path, clock: StillClock) -> None:
    outbox = Outbox(path, clock=clock)
    with full_disk():
        put(outbox, "a")
        outbox.flush()
    outbox.close()
    assert on_disk(path) == ["a"]


def test_closing_says_what_is_lost(path: Path, clock: StillClock, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir()
    outbox = Outbox(path, clock=clock)
    put(outbox, "a")
    outbox.close()
    assert "1 alerts and events are lost" in caplog.text


def test_what_json_cannot_say_is_refused_and_takes_no_number(outbox: Outbox) -> None:
    with pytest.raises(ValueError, match="JSON"):
        put(outbox, "x", x=math.inf)
    assert number(put(outbox, "a")) == 1
    assert keys(outbox) == ["a"]


def test_a_rotten_entry_blocks_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Outbox(path)) as outbox:
        for n in range(5):
            put(outbox, f"a{n}")
        outbox.flush()
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("UPDATE entries SET payload = '{\"n\": 1' WHERE seq = 2")
            raw.execute("UPDATE entries SET payload = CAST(x'7B226E223AFF7D' AS TEXT) WHERE seq = 3")
            raw.execute("UPDATE entries SET payload = '[]' WHERE seq = 4")
            raw.execute("INSERT INTO state (name, value) VALUES ('rotten', '{'), ('list', '[]')")
    with closing(Outbox(path)) as outbox:
        assert keys(outbox) == ["a0", "a4"]
        assert outbox.stats().pending_alerts == 2
        assert outbox.get_state("rotten") is outbox.get_state("list") is None
        outbox.flush()
        assert on_disk(path) == ["a0", "a4"]
    assert "entry 2 of the outbox is not readable" in caplog.text


def test_a_cap_below_one_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="max_events"):
        Outbox(path, max_events=0)


def test_a_full_disk_is_still_read_so_that_alerts_keep_their_order(path: Path, clock: StillClock) -> None:
    with closing(Outbox(path, clock=clock, retry_s=RETRY_S, head=2)) as outbox:
        for n in range(6):
            put(outbox, f"a{n}")
        outbox.flush()
        with full_disk():
            put(outbox, "a6")
            outbox.flush()
            assert outbox.stats().fault is not None
            sent = []
            while (entry := outbox.first("alert")) is not None:
                sent.append(entry.key)
                outbox.acknowledged([entry.seq])
                outbox.flush()
    assert sent == [f"a{n}" for n in range(7)]
