"""What a wrong wall clock may do to the history (row 9, report C7): nothing that cannot be made good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from detector.alerts.history import History
from detector.alerts.payloads import event_payload
from detector.core.clock_sync import ClockSync
from detector.core.types import EventChange
from support.clocks import SetClock
from support.visits import WALL, event, frame

DAY, HOUR = 86_400.0, 3600.0
KEEP_DAYS = 14.0
JPEG = b"\xff\xd8 a picture \xff\xd9"


@pytest.fixture
def clock() -> SetClock:
    return SetClock(now=100.0, wall_ahead=WALL)


@pytest.fixture
def kernel() -> list[bool]:
    """What the kernel says of its clock."""
    return [True]


@pytest.fixture
def history(tmp_path: Path, clock: SetClock, kernel: list[bool]) -> Iterator[History]:
    sync = ClockSync(clock=clock, kernel=lambda: kernel[0])
    with closing(opened(tmp_path, clock, sync)) as made:
        yield made


def opened(folder: Path, clock: SetClock, sync: ClockSync, **changes: Any) -> History:
    return History(
        path=folder / "history.db",
        snapshot_dir=folder / "snapshots",
        keep_days=KEEP_DAYS,
        clock=clock,
        clock_synced=sync.is_synced,
        **changes,
    )


def visit(name: str, start: float, *, seen: float | None = None, end: float | None = None) -> dict[str, Any]:
    """The `after` of an event's document; times are epoch s."""
    made = event(id=name, start_wall=start, frame_wall=end or seen or start, end_wall=end)
    document: dict[str, Any] = event_payload(
        EventChange(type="update", before=made, after=made, frame=frame()), device="d"
    )["after"]
    return document


def record_days(history: History, clock: SetClock, days: int) -> None:
    """One visit, with its picture, a day."""
    for day in range(days):
        history.record(visit(f"day-{day}", clock.wall() - 10, end=clock.wall()))
        history.save_snapshot(f"day-{day}", JPEG)
        clock.now += DAY


def names(history: History) -> set[str]:
    return {document["id"] for document in history.events()}


def test_night_09_a_start_30_days_ahead_prunes_nothing(tmp_path: Path, clock: SetClock) -> None:
    with closing(opened(tmp_path, clock, ClockSync(clock=clock, kernel=lambda: True))) as history:
        record_days(history, clock, 10)
    clock.wall_ahead += 30 * DAY
    with closing(opened(tmp_path, clock, ClockSync(clock=clock, kernel=lambda: False))) as history:
        for _ in range(23):
            assert (history.prune(), history.prune_pictures()) == (0, 0)
            clock.now += HOUR
        clock.wall_ahead -= 30 * DAY
        assert (history.prune(), history.prune_pictures()) == (0, 0)
        assert names(history) == {f"day-{day}" for day in range(10)}
        assert history.snapshot("day-0") == JPEG


def test_night_09_at_most_a_days_worth_an_hour(history: History, clock: SetClock) -> None:
    record_days(history, clock, 10)
    clock.now += 30 * DAY  # a month without the program: all is too old
    gone = []
    for _ in range(12):
        gone.append(history.prune())
        assert history.prune() == 0, "again within the hour"
        clock.now += HOUR
    assert gone == [1] * 10 + [0, 0]


def test_night_09_what_is_too_many_goes_by_the_order_of_recording(tmp_path: Path, clock: SetClock) -> None:
    sync = ClockSync(clock=clock, kernel=lambda: False)
    with closing(opened(tmp_path, clock, sync, max_events=2)) as history:
        for number, start in enumerate((WALL, WALL + DAY, 20.0, 30.0)):  # the clock fell back to 1970
            history.record(visit(f"v{number}", start, end=start + 1))
        assert history.prune() == 2
        assert names(history) == {"v2", "v3"}


def test_night_09_c7_a_visit_ends_although_the_clock_was_set_back(history: History, clock: SetClock) -> None:
    history.record(visit("v", clock.wall()))
    clock.now += 10
    clock.wall_ahead -= HOUR
    history.record(visit("v", WALL + 100, end=clock.wall()))
    found = history.event("v")
    assert found is not None
    assert (found["active"], found["end_time"]) == (False, WALL + 100), "it ends no earlier than it began"


def test_night_09_c7_a_visit_of_1970_outlives_the_clocks_correction(
    history: History, clock: SetClock, kernel: list[bool]
) -> None:
    record_days(history, clock, 2)
    kernel[0], clock.wall_ahead = False, -clock.now
    history.record(visit("1970", 5.0, end=20.0))
    history.save_snapshot("1970", JPEG)
    kernel[0], clock.wall_ahead = True, WALL
    clock.now += 60
    assert history.prune() == 0
    history.record(visit("next", clock.wall(), end=clock.wall() + 5))
    assert names(history) == {"day-0", "day-1", "1970", "next"}
    clock.now += (KEEP_DAYS - 1) * DAY
    while history.prune():
        clock.now += HOUR
    assert names(history) == {"1970", "next"}
    assert history.snapshot("1970") == JPEG
    clock.now += 2 * DAY
    assert history.prune() == 2, "it goes with the next one whose time is certain"


def test_night_09_an_end_stamped_before_the_correction_is_not_certain(
    history: History, clock: SetClock, kernel: list[bool]
) -> None:
    kernel[0], clock.wall_ahead = False, 0.0
    assert history.record(visit("v", 90.0))
    kernel[0], clock.wall_ahead = True, WALL
    history.record(visit("v", 90.0, end=95.0))
    assert history.prune() == 0
    assert names(history) == {"v"}
