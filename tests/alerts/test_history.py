"""The history: what the API can ask for, and what happens when the disk does not play along."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from detector.alerts.history import History
from detector.alerts.payloads import alert_payload, event_payload
from detector.core.errors import StorageError
from detector.core.types import EventChange
from support.visits import WALL, StillClock, alert, event, frame, full_disk

DAY = 86_400.0
RETRY_S = 5.0
JPEG = b"\xff\xd8 a picture \xff\xd9"


@pytest.fixture
def clock() -> StillClock:
    return StillClock(wall=WALL + 1000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def opened(folder: Path, clock: StillClock, **changes: Any) -> closing[History]:
    values: dict[str, Any] = {"keep_days": 7.0, "max_events": 100, "retry_s": RETRY_S}
    return closing(
        History(path=folder / "history.db", snapshot_dir=folder / "snapshots", clock=clock, **(values | changes))
    )


@pytest.fixture
def history(folder: Path, clock: StillClock) -> Iterator[History]:
    with opened(folder, clock) as made:
        yield made


def after(name: str, start: float = 0.0, **changes: Any) -> dict[str, Any]:
    """The `after` of a real event document; `start`, `seen`, `end` in s after WALL."""
    seen, end = changes.pop("seen", start), changes.pop("end", None)
    made = event(
        id=name,
        start_wall=WALL + start,
        frame_wall=WALL + seen,
        end_wall=None if end is None else WALL + end,
        **changes,
    )
    change = EventChange(type="update", before=made, after=made, frame=frame())
    document: dict[str, Any] = event_payload(change, device="d")["after"]
    return document


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [document["id"] for document in found]


def test_a_visit_is_kept_as_it_stands(history: History) -> None:
    assert history.record(after("v", seen=1))
    assert history.record(after("v", seen=2, score=0.5))
    document = after("v", seen=3, end=4, score=0.6)
    assert history.record(document)
    assert history.event("v") == document | {"alerts": [], "clip": None}
    assert history.record(after("v", seen=2))  # late news of an earlier moment
    assert history.event("v") == document | {"alerts": [], "clip": None}
    assert history.event("w") is None
    assert ids(history.events()) == ["v"]


def test_visits_come_newest_first_and_can_be_asked_for(history: History) -> None:
    for number in range(6):
        history.record(after(f"v{number}", number, camera=("porch", "yard")[number % 2]))
    assert ids(history.events()) == ["v5", "v4", "v3", "v2", "v1", "v0"]
    assert ids(history.events(limit=2)) == ["v5", "v4"]
    assert ids(history.events(camera="yard")) == ["v5", "v3", "v1"]
    assert ids(history.events("yard", WALL + 2)) == ["v5", "v3"]
    assert ids(history.events(after=WALL + 3)) == ["v5", "v4"]
    assert ids(history.events(after="v3")) == ["v5", "v4"]
    assert history.events(after="unknown") == []
    assert history.events(camera="nowhere") == []


def test_a_limit_is_held_within_bounds(history: History) -> None:
    for number in range(3):
        history.record(after(f"v{number}", number))
    assert len(history.events(limit=0)) == 1
    assert len(history.events(limit=10**9)) == 3


def alert_of(event_id: str, name: str = "a") -> dict[str, Any]:
    return alert_payload(alert(id=name, event_id=event_id), device="d", seq=3)


def test_alerts_are_noted_once(history: History) -> None:
    history.record(after("v"))
    assert history.mark_alerted(alert_of("v"))
    assert history.mark_alerted(alert_of("v"))
    assert history.mark_alerted(alert_of("v", "b"))
    history.record(after("v", seen=9))
    found = history.event("v")
    assert found is not None
    assert [(one["id"], one["seq"], one["zones"]) for one in found["alerts"]] == [
        (name, 3, ["garden"]) for name in "ab"
    ]
    assert set(found["alerts"][0]) == {"id", "seq", "zones", "score", "captured_at", "confirmed_at", "clip"}


def test_an_alert_of_an_unknown_visit_makes_it_known(history: History) -> None:
    assert history.mark_alerted(alert_of("v"))
    found = history.event("v")
    assert found is not None
    assert (found["camera"], found["start_time"], len(found["alerts"])) == ("porch", WALL, 1)
    history.record(after("v", -5, seen=2))
    found = history.event("v")
    assert found is not None
    assert (found["start_time"], len(found["alerts"])) == (WALL - 5, 1), "what the visit itself says counts"
    assert ids(history.events(after=WALL - 6)) == ["v"]


def test_pictures(history: History, folder: Path) -> None:
    history.record(after("v"))
    assert history.snapshot("v") is None
    assert history.save_snapshot("v", b"first")
    assert history.save_snapshot("v", JPEG)
    assert history.snapshot("v") == JPEG
    found = history.event("v")
    assert found is not None
    assert found["has_snapshot"] is True
    files = list((folder / "snapshots").iterdir())
    assert [file.name for file in files] == ["v.jpg"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../history", "a/b", "/etc/passwd", "a..b", ".hidden", "a\0b", "a\n", "é", "x" * 129, "a."]
)
def test_ids_that_could_climb_out_of_the_folder(history: History, folder: Path, name: str) -> None:
    (folder / "history.jpg").write_bytes(b"not yours")
    assert history.snapshot(name) is None
    with pytest.raises(ValueError, match="id"):
        history.save_snapshot(name, JPEG)
    assert not (folder / "snapshots").exists()


def test_a_picture_that_cannot_be_written(history: History, folder: Path) -> None:
    history.save_snapshot("v", b"first")
    with full_disk():
        assert not history.save_snapshot("v", JPEG)
    assert history.fault is not None
    assert history.snapshot("v") == b"first"
    assert [file.name for file in (folder / "snapshots").iterdir()] == ["v.jpg"]


def test_a_picture_that_cannot_be_read(history: History, folder: Path) -> None:
    (folder / "snapshots" / "v.jpg").mkdir(parents=True)
    with pytest.raises(StorageError):
        history.snapshot("v")
    (folder / "snapshots" / "w.jpg").write_bytes(b"")
    assert history.snapshot("w") is None


def test_what_is_too_old_goes_with_its_picture(history: History, clock: StillClock, folder: Path) -> None:
    for name, end in (("old", 10.0), ("young", 20.0)):
        history.record(after(name, 0, end=end))
        history.save_snapshot(name, JPEG)
    history.record(after("open", 0, seen=5))
    clock.now_wall = WALL + 7 * DAY + 15
    assert history.prune() == 1
    assert ids(history.events()) == ["open", "young"]
    assert history.snapshot("old") is None
    assert history.snapshot("young") == JPEG
    assert history.prune() == 0


def test_what_is_too_many_goes_oldest_first(folder: Path, clock: StillClock) -> None:
    with opened(folder, clock, max_events=2) as history:
        history.record(after("open", 0))
        for number in range(1, 5):
            history.record(after(f"v{number}", number, end=number + 1))
        assert [history.prune(1) for _ in range(3)] == [1, 1, 0]
        assert ids(history.events()) == ["v4", "v3", "open"]  # a visit that goes on is not forgotten


def test_a_reader_waits_for_no_writer(history: History) -> None:
    history.record(after("v"))
    with history._lock, history._opened().write(durable=False) as connection:
        connection.execute("DELETE FROM events")
        found: list[list[str]] = []
        reader = threading.Thread(target=lambda: found.append(ids(history.events())))
        reader.start()
        reader.join(10)
        assert found == [["v"]]


def test_pictures_without_a_visit_go_once_they_are_old(history: History, clock: StillClock, folder: Path) -> None:
    history.record(after("v"))
    for name in ("v", "orphan", "fresh"):
        history.save_snapshot(name, JPEG)
    (folder / "snapshots" / "cut.jpg.part").write_bytes(b"half")
    (folder / "snapshots" / "notes.txt").write_text("not ours")
    for file in (folder / "snapshots").iterdir():
        written = clock.now_wall - (60 if file.name == "fresh.jpg" else 4000)
        os.utime(file, (written, written))
    assert history.prune_pictures() == 1
    assert sorted(file.name for file in (folder / "snapshots").iterdir()) == ["fresh.jpg", "notes.txt", "v.jpg"]


def test_visits_that_a_crash_left_open_end_where_they_were_last_seen(folder: Path, clock: StillClock) -> None:
    with opened(folder, clock) as history:
        history.record(after("cut", 1, seen=6))
        history.record(after("whole", 2, seen=3, end=4))
    with opened(folder, clock) as history:
        found = {document["id"]: document for document in history.events()}
        assert found["cut"]["end_time"] == WALL + 6
        assert found["cut"]["active"] is False
        assert found["whole"]["end_time"] == WALL + 4
        history.record(after("new", 7))
        found_new = history.event("new")
        assert found_new is not None
        assert found_new["end_time"] is None


def test_a_full_disk_is_told_once_and_left_alone_for_a_while(
    history: History, clock: StillClock, caplog: pytest.LogCaptureFixture
) -> None:
    history.record(after("before"))
    with full_disk():
        assert not history.record(after("lost", 1))
        assert not history.record(after("lost", 2))
        assert history.prune() == 0
        assert ids(history.events()) == ["before"]
        fault = history.fault
    assert fault is not None
    assert not history.mark_alerted(alert_of("before"))
    clock.now_mono += RETRY_S
    assert history.record(after("after", 3))
    assert history.fault is None
    assert ids(history.events()) == ["after", "before"]
    assert caplog.text.count("history is not written") == 1
    assert caplog.text.count("written again") == 1


def test_a_folder_that_cannot_be_used_at_first(folder: Path, clock: StillClock) -> None:
    folder.write_text("in the way")
    with opened(folder, clock) as history:
        assert not history.record(after("v"))
        assert not history.save_snapshot("v", JPEG)
        with pytest.raises(StorageError):
            history.events()
        folder.unlink()
        clock.now_mono += RETRY_S
        assert history.record(after("v"))
        assert ids(history.events()) == ["v"]


def test_a_file_deleted_in_use_is_made_anew(history: History, folder: Path) -> None:
    history.record(after("v"))
    for side in folder.glob("history.db*"):
        side.unlink()
    assert history.record(after("w"))
    assert ids(history.events()) == ["w"]


@pytest.mark.parametrize("where", ["at start", "in use"])
def test_a_damaged_file_is_set_aside_and_a_new_history_begins(
    folder: Path, clock: StillClock, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(folder, clock) as history:
        for number in range(600):
            history.record(after(f"v{number:04}", number, end=number + 1))
    path = folder / "history.db"

    def damage() -> None:
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (path.stat().st_size - 4096))

    if where == "at start":
        damage()
    with opened(folder, clock) as history:
        if where == "in use":
            damage()
            with pytest.raises(StorageError, match="damaged"):
                history.events()
        assert history.record(after("next", 700))
        assert ids(history.events()) == ["next"]
        assert history.fault is None
    (aside,) = folder.glob("history.db.damaged-*Z")
    assert aside.name in caplog.text


def test_rotten_visits_are_left_out(history: History, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b", "c"):
        history.record(after(name))
    with closing(sqlite3.connect(folder / "history.db")) as raw, raw:
        raw.execute("UPDATE events SET body = '{' WHERE id = 'a'")
        raw.execute("UPDATE events SET alerts = '{' WHERE id = 'b'")
        raw.execute("UPDATE events SET alerts = '{}' WHERE id = 'c'")
    assert {document["id"]: document["alerts"] for document in history.events()} == {"b": [], "c": []}
    assert "visit 'a' is not readable" in caplog.text


def test_a_picture_that_cannot_be_removed_stops_nothing(history: History, clock: StillClock, folder: Path) -> None:
    history.record(after("v", 0, end=1))
    (folder / "snapshots" / "v.jpg" / "inside").mkdir(parents=True)
    history.record(after("w", 0, end=2))
    history.save_snapshot("w", JPEG)
    clock.now_wall = WALL + 8 * DAY
    assert history.prune() == 2
    assert history.fault is not None
    assert history.snapshot("w") is None


def test_numbers_that_make_no_sense_are_refused(folder: Path, clock: StillClock) -> None:
    for wrong in ({"keep_days": 0.0}, {"max_events": 0}):
        with pytest.raises(ValueError, match="keep_days"):
            opened(folder, clock, **wrong)


def test_threads_read_while_one_writes(history: History) -> None:
    stop, faults = threading.Event(), list[BaseException]()

    def read() -> None:
        try:
            while not stop.is_set():
                starts = [document["start_time"] for document in history.events(limit=20)]
                assert starts == sorted(starts, reverse=True)
                history.snapshot("v1")
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(100):
        assert history.record(after(f"v{number}", number, end=number + 1))
    history.prune()
    stop.set()
    for thread in threads:
        thread.join(10)
    assert faults == []
    assert len(history.events(limit=1000)) == 100
