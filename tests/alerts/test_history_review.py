"""The history as the review page uses it: pages, filters, one visit with its path, deletion."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from detector.alerts.clips.folder import ClipFolder
from detector.alerts.history import LAYOUT, History
from detector.alerts.payloads import alert_payload, event_payload, parse_path, record_document
from detector.core.errors import StorageError
from detector.core.types import EventChange, PathPoint
from support.visits import WALL, StillClock, alert, event, frame, full_disk

JPEG = b"\xff\xd8 a picture \xff\xd9"


@pytest.fixture
def clock() -> StillClock:
    return StillClock(wall=WALL + 1000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def opened(folder: Path, clock: StillClock, **changes: Any) -> closing[History]:
    return closing(History(path=folder / "history.db", snapshot_dir=folder / "snapshots", clock=clock, **changes))


@pytest.fixture
def history(folder: Path, clock: StillClock) -> Iterator[History]:
    with opened(folder, clock) as made:
        yield made


def after(name: str, start: float = 0.0, *, end: float | None = None, **changes: Any) -> dict[str, Any]:
    """The `after` of a real event document; `start`, `end` in s after WALL."""
    end_wall = None if end is None else WALL + end
    made = event(id=name, start_wall=WALL + start, frame_wall=WALL + start, end_wall=end_wall, **changes)
    document: dict[str, Any] = event_payload(
        EventChange(type="update", before=made, after=made, frame=frame()), device="d"
    )["after"]
    return document


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [document["id"] for document in found]


def test_pages_are_turned_by_the_last_visit_of_the_page_before(history: History) -> None:
    for number in range(6):
        history.record(after(f"v{number}", float(number // 2), end=10.0))
    first = ids(history.events(limit=4))
    assert first == ["v5", "v4", "v3", "v2"]
    assert ids(history.events(before=first[-1])) == ["v1", "v0"]
    assert ids(history.events(before=WALL + 1)) == ["v1", "v0"]
    assert history.events(before="unknown") == []


def test_visits_are_chosen_by_zone_and_by_whether_they_alerted(history: History) -> None:
    history.record(after("garden", 0.0, end=1.0, entered_zones=("garden",)))
    history.record(after("path", 1.0, end=2.0, entered_zones=("path",)))
    history.mark_alerted(alert_payload(alert(id="a", event_id="path"), device="d", seq=1))
    assert ids(history.events(zone="garden")) == ["garden"]
    assert ids(history.events(alerted=True)) == ["path"]
    assert ids(history.events(alerted=False)) == ["garden"]
    assert history.events(zone="garden", alerted=True) == []
    assert history.events(zone="' OR 1") == []


def test_one_visit_has_its_path_and_a_list_has_not(history: History) -> None:
    points = tuple(PathPoint(mono=50.0 + n, box=(0.1 * n, 0.2, 0.3, 0.4), score=0.9) for n in range(3))
    made = event(id="v", path=points, why="outside garden")
    document = event_payload(EventChange(type="new", before=made, after=made, frame=frame()), device="d")["after"]
    history.record(document | record_document(made))
    found = history.event("v")
    assert found is not None
    assert found["path"] == [
        [0.0, 0.0, 0.2, 0.3, 0.4, 0.9],
        [1.0, 0.1, 0.2, 0.3, 0.4, 0.9],
        [2.0, 0.2, 0.2, 0.3, 0.4, 0.9],
    ]
    (listed,) = history.events()
    assert ("path" in listed, listed["why"]) == (False, "outside garden")
    recorded = history.recorded("v")
    assert recorded is not None
    assert [point.box for point in parse_path(recorded)] == [point.box for point in points]
    assert parse_path(document)[0].box == (10 / 64, 12 / 48, 20 / 64, 40 / 48), "an older one has its last box"


def test_a_visit_that_is_over_is_deleted_with_its_picture_and_clip(folder: Path, clock: StillClock) -> None:
    clips = ClipFolder(folder / "clips")
    with opened(folder, clock, clips=clips) as history:
        history.record(after("over", end=2.0))
        history.record(after("open"))
        history.save_snapshot("over", JPEG)
        part = clips.begin("over")
        part.write_bytes(b"clip")
        clips.finish(part, ["over"])
        assert history.delete("over")
        assert ids(history.events()) == ["open"]
        assert (history.snapshot("over"), clips.find("over")) == (None, None)
        assert not history.delete("open"), "it would be recorded again at its next change"
        assert not history.delete("over")


def test_a_disk_that_does_not_take_a_delete_says_so(folder: Path, clock: StillClock) -> None:
    with opened(folder, clock) as history:
        history.record(after("over", end=2.0))
        with full_disk(), pytest.raises(StorageError, match="was not deleted"):
            history.delete("over")
        assert ids(history.events()) == ["over"]


def test_a_history_of_an_earlier_version_is_brought_up_to_date(folder: Path, clock: StillClock) -> None:
    folder.mkdir()
    with closing(sqlite3.connect(folder / "history.db")) as old:
        for script in LAYOUT.migrations[:2]:
            old.executescript(script)
        old.execute(f"PRAGMA application_id={LAYOUT.application_id}")
        old.execute("PRAGMA user_version=2")
        body = json.dumps(after("old", end=1.0))
        old.execute(
            "INSERT INTO events (id, camera, start_time, end_time, seen, body, alerts) VALUES (?,?,?,?,?,?,'[]')",
            ("old", "porch", WALL, WALL + 1, WALL, body),
        )
        old.commit()
    with opened(folder, clock) as history:
        assert ids(history.events(alerted=False)) == ["old"]
        assert history.events(alerted=True) == []


def test_a_visit_that_cannot_be_read_hides_no_other(history: History, folder: Path) -> None:
    history.record(after("bad", 0.0, end=1.0, entered_zones=("garden",)))
    history.record(after("good", 1.0, end=2.0, entered_zones=("garden",)))
    with closing(sqlite3.connect(folder / "history.db")) as raw:
        raw.execute("UPDATE events SET body = '{\"entered_zones\":[\"garden\"' WHERE id = 'bad'")
        raw.commit()
    assert ids(history.events()) == ["good"]
    assert ids(history.events(zone="garden")) == ["good"]
