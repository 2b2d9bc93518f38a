"""When the wall clock counts as right (row 9): the kernel says so, or nobody corrected it for a day."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.core import clock_sync
from detector.core.clock_sync import DAY_S, ClockSync, kernel_synced
from support.clocks import SetClock

HOUR = 3600.0


def unknown() -> bool | None:
    return None


def test_night_09_a_free_running_clock_is_right_after_a_day_without_a_jump() -> None:
    clock = SetClock(now=50.0, wall_ahead=1.7e9)
    sync = ClockSync(clock=clock, kernel=unknown)
    for _ in range(23):
        clock.now += HOUR
        clock.wall_ahead += 1.8  # 500 ppm of drift
        assert not sync.is_synced()
    assert sync.unsynced_s() == 23 * HOUR
    clock.now += HOUR
    assert sync.is_synced()
    assert sync.unsynced_s() == 0.0
    clock.now += 30 * DAY_S
    clock.wall_ahead += 30 * 43.2
    assert sync.is_synced(), "drift is no jump, however long nobody looked"


@pytest.mark.parametrize("jump", [-HOUR, 3 * HOUR, 56 * 365 * DAY_S])
def test_night_09_a_jump_starts_the_day_again(jump: float) -> None:
    clock = SetClock(now=0.0, wall_ahead=20.0)
    sync = ClockSync(clock=clock, kernel=unknown)
    clock.now = DAY_S
    assert sync.is_synced()
    clock.wall_ahead += jump
    assert not sync.is_synced()
    clock.now += DAY_S - 1
    assert not sync.is_synced()
    clock.now += 1
    assert sync.is_synced()


def test_night_09_the_kernels_word_is_enough_and_holds_until_the_next_jump() -> None:
    clock, says = SetClock(wall_ahead=20.0), [False]
    sync = ClockSync(clock=clock, kernel=lambda: says[0])
    assert not sync.is_synced()
    clock.wall_ahead, says[0] = 1.7e9, True  # a time service has set it
    assert sync.is_synced()
    says[0] = False  # its server is out of reach: the clock only drifts
    clock.now += HOUR
    assert sync.is_synced()
    clock.wall_ahead -= HOUR
    assert not sync.is_synced()


def test_the_kernel_is_asked_without_changing_anything(tmp_path: Path) -> None:
    assert kernel_synced(tmp_path / "absent") in (True, False, None)


def test_where_the_call_is_refused_timesyncds_mark_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_sync, "_adjtimex", lambda: lambda _: -1)
    mark = tmp_path / "synchronized"
    assert kernel_synced(mark) is None
    mark.touch()
    assert kernel_synced(mark) is True
