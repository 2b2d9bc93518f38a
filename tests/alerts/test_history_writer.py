"""The history's thread: in order, bounded, never in anybody's way."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from detector.alerts.history import PRUNE_STEP, History
from detector.alerts.history_writer import MAX_PICTURES, MAX_VISITS, HistoryWriter
from detector.alerts.payloads import alert_payload, event_payload
from support.messages import make_alert, make_change, make_frame, running
from support.mosquitto import wait_until
from support.visits import WALL, StillClock

DAY = 86_400.0


@pytest.fixture
def clock() -> StillClock:
    return StillClock(mono=100.0, wall=1_790_000_100.0)


@pytest.fixture
def history(tmp_path: Path, clock: StillClock) -> Iterator[History]:
    made = History(path=tmp_path / "history.db", snapshot_dir=tmp_path / "snapshots", keep_days=7.0, clock=clock)
    with closing(made):
        yield made


@pytest.fixture
def writer(history: History, clock: StillClock) -> HistoryWriter:
    return HistoryWriter(history, clock=clock, prune_s=3600.0)


def visit(number: int, **changes: Any) -> dict[str, Any]:
    after: dict[str, Any] = event_payload(make_change(number), device="d")["after"]
    return after | changes


def test_all_is_written_before_what_comes_afterwards(history: History, writer: HistoryWriter) -> None:
    seen: list[object] = []
    with running(writer.run):
        for number in range(20):
            writer.mark_alerted(alert_payload(make_alert(number), device="d", seq=number))
            writer.record(visit(number))
            name = f"event-{number}"
            writer.afterwards(partial(lambda name: seen.append(history.event(name)), name))
        wait_until(lambda: len(seen) == 20)
    for found in seen:
        assert isinstance(found, dict)
        assert len(found["alerts"]) == 1


def test_a_fault_of_one_costs_nobody_else(history: History, writer: HistoryWriter) -> None:
    def broken() -> bytes:
        raise RuntimeError("no encoder")

    writer.record(visit(1))
    writer.save_picture("event-1", broken)
    writer.save_picture("../event-1", lambda: b"jpeg")
    writer.save_picture("event-2", lambda: b"jpeg")
    writer.save_picture("event-3", lambda: None)
    writer.afterwards(broken)
    writer.flush()
    assert history.event("event-1") is not None
    assert (history.snapshot("event-1"), history.snapshot("event-2"), history.snapshot("event-3")) == (
        None,
        b"jpeg",
        None,
    )


def test_what_waits_is_bounded_and_the_newest_is_kept(history: History, writer: HistoryWriter) -> None:
    frames = []
    for number in range(MAX_VISITS + 50):
        writer.record(visit(number))
        frame = make_frame(seq=number)
        frames.append(weakref.ref(frame.image.bgr()))
        writer.save_picture(f"event-{number}", partial(lambda frame: frame.image.bgr().tobytes()[:9], frame))
        del frame
    gc.collect()
    assert sum(frame() is not None for frame in frames) <= MAX_PICTURES
    writer.flush()
    gc.collect()
    assert all(frame() is None for frame in frames), "a written picture lets go of its frame"
    assert len(history.events(limit=1000)) == min(1000, MAX_VISITS)
    assert history.event("event-0") is None
    assert history.snapshot(f"event-{MAX_VISITS + 49}") is not None


def test_old_visits_go_in_steps_once_an_hour(history: History, writer: HistoryWriter, clock: StillClock) -> None:
    count = 2 * PRUNE_STEP + 10
    for number in range(count):
        history.record(visit(number, end_time=WALL))
    history.save_snapshot("event-3", b"jpeg")
    clock.now_wall += 8 * DAY
    steps: list[int] = []
    prune = history.prune

    def counted(limit: int = PRUNE_STEP) -> int:
        steps.append(prune(limit))
        return steps[-1]

    history.prune = counted  # type: ignore[method-assign]
    with running(writer.run):
        wait_until(lambda: len(steps) == 3)
        assert steps == [PRUNE_STEP, PRUNE_STEP, 10]
        assert history.snapshot("event-3") is None
        clock.now_mono += 3600.0
        wait_until(lambda: len(steps) == 4)
    assert history.events() == []


def test_the_heartbeat_goes_on_and_what_is_left_at_a_stop_is_written(history: History) -> None:
    writer = HistoryWriter(history)
    before = writer.progress_mono
    with running(writer.run):
        wait_until(lambda: writer.progress_mono > before)
    writer.record(visit(1))
    stop = threading.Event()
    stop.set()
    writer.run(stop)
    assert history.event("event-1") is not None
