from __future__ import annotations

import itertools
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.capture.latest_frames import LatestFrames, SlotCounts
from detector.core.clock import SYSTEM_CLOCK
from detector.core.types import ArrayImage, Frame
from support.clocks import SetClock

PICTURE = ArrayImage(np.zeros((2, 2, 3), np.uint8))


def frame(camera: str, at: float, seq: int = 0) -> Frame:
    return Frame(camera=camera, seq=seq, captured_mono=at, captured_wall=at, image=PICTURE)


def play(times: list[float], max_fps: float) -> tuple[list[float], SlotCounts]:
    """The stamps that an inference which is never busy takes of frames captured at `times`."""
    clock = SetClock()
    slots = LatestFrames(clock=clock)
    slots.add("a", max_fps)
    taken = []
    for seq, at in enumerate(times):
        clock.now = at
        slots.put(frame("a", at, seq))
        got = slots.take(0.0)
        if got is not None:
            taken.append(got.captured_mono)
    return taken, slots.counts("a")


rates = st.floats(0.5, 60.0)


@given(rates, st.lists(st.floats(-0.249, 0.249), min_size=2, max_size=120))
def test_equal_rate_with_jitter_of_a_quarter_interval_loses_nothing(fps: float, jitter: list[float]) -> None:
    times = [(100 + i + j) / fps for i, j in enumerate(jitter)]
    taken, counts = play(times, fps)
    assert taken == times
    assert counts == SlotCounts(taken=len(times))


@given(rates, st.lists(st.floats(0.0, 5.0), min_size=2, max_size=200))
def test_never_over_the_rate_whatever_the_camera_does(fps: float, gaps: list[float]) -> None:
    times = list(itertools.accumulate(gap / fps for gap in gaps))
    taken, _ = play(times, fps)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            span = taken[last] - taken[first]
            assert last - first + 1 <= span * fps + 2.0 + 1e-6


@given(st.floats(1.0, 30.0), st.floats(1.0, 6.0))
def test_a_faster_camera_is_taken_at_the_full_rate(fps: float, factor: float) -> None:
    taken, counts = play([i / (fps * factor) for i in range(600)], fps)
    seconds = 599 / (fps * factor)
    assert seconds * fps * 0.95 - 2 <= len(taken) <= seconds * fps + 2
    assert counts.dropped == 0
    assert counts.taken + counts.skipped >= 600 - 1


def test_a_25_fps_camera_at_10_is_taken_10_times_a_second() -> None:
    taken, _ = play([i / 25 for i in range(25 * 60)], 10.0)
    assert len(taken) == pytest.approx(600, abs=2)


def test_the_newest_frame_wins_and_the_unread_is_counted_dropped() -> None:
    slots = LatestFrames(clock=SetClock())
    slots.add("a", 10.0)
    for seq in range(5):
        slots.put(frame("a", seq * 1.0, seq))
    got = slots.take(0.0)
    assert got is not None
    assert got.seq == 4
    assert slots.counts("a") == SlotCounts(taken=1, dropped=4)


def test_r2_a_frame_older_than_one_that_came_is_refused_and_counted() -> None:
    slots = LatestFrames(clock=SetClock(now=200.0))
    slots.add("a", 10.0)
    slots.put(frame("a", 100.0))
    slots.put(frame("a", 99.9, seq=1))
    got = slots.take(0.0)
    assert got is not None
    assert got.captured_mono == 100.0
    slots.put(frame("a", 99.95, seq=2))
    assert slots.take(0.0) is None, "taken or not: the newest that came counts"
    slots.put(frame("a", 100.0, seq=3))
    slots.put(frame("a", 100.4, seq=4))
    later = slots.take(0.0)
    assert later is not None
    assert later.captured_mono == 100.4
    assert slots.counts("a").refused == 2


def test_a_frame_before_its_turn_is_skipped_not_dropped() -> None:
    clock = SetClock()
    slots = LatestFrames(clock=clock)
    slots.add("a", 10.0)
    for at in (0.0, 0.02, 0.04, 0.06):
        clock.now = at
        slots.put(frame("a", at))
        slots.take(0.0)
    assert slots.counts("a") == SlotCounts(taken=2, skipped=1)


def test_an_early_frame_is_taken_late_when_no_other_comes() -> None:
    clock = SetClock()
    slots = LatestFrames(clock=clock)
    slots.add("a", 10.0)
    for at in (0.0, 0.02, 0.04):
        clock.now = at
        slots.put(frame("a", at))
        got = slots.take(0.0)
    assert got is None
    clock.now = 0.3
    got = slots.take(0.0)
    assert got is not None
    assert got.captured_mono == 0.04


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from([5.0, 10.0, 25.0, 30.0]), min_size=2, max_size=5),
    st.floats(1.0, 12.0),
    st.floats(1.0, 30.0),
)
def test_overloaded_inference_serves_cameras_of_one_rate_alike(
    camera_fps: list[float], served_per_s: float, max_fps: float
) -> None:
    clock = SetClock()
    slots = LatestFrames(clock=clock)
    names = [f"camera-{i}" for i in range(len(camera_fps))]
    events = sorted(
        (i / fps + k * 1e-4, name)
        for k, (name, fps) in enumerate(zip(names, camera_fps, strict=True))
        for i in range(int(20 * fps))
    )
    for name in names:
        slots.add(name, max_fps)
    free_at = 0.0
    for at, name in events:
        clock.now = at
        slots.put(frame(name, at))
        if at >= free_at and slots.take(0.0) is not None:
            free_at = at + 1.0 / served_per_s
    taken = [slots.counts(name).taken for name in names]
    if sum(min(fps, max_fps) for fps in camera_fps) > 2.0 * len(names) * served_per_s:
        assert max(taken) - min(taken) <= 2 + 0.15 * max(taken)
    assert min(taken) >= 1


@pytest.mark.parametrize("served_per_s", [38.0, 36.0, 33.0, 20.0, 9.0])
def test_eight_cameras_lose_alike_also_where_only_a_few_frames_are_too_many(served_per_s: float) -> None:
    random, clock = np.random.default_rng(0), SetClock()
    slots = LatestFrames(clock=clock)
    events = sorted(
        (phase + i / 5.0 + random.normal(0.0, 0.005), f"camera-{k}")
        for k, phase in enumerate(random.uniform(0.0, 0.2, 8))
        for i in range(60 * 5)
    )
    for k in range(8):
        slots.add(f"camera-{k}", 5.0)
    free_at = 0.0
    for at, name in events:
        while free_at < at:  # inference takes its next frame when it is done with the last one
            clock.now = free_at
            free_at += random.uniform(0.8, 1.2) / served_per_s if slots.take(0.0) is not None else 0.002
        clock.now = max(at, clock.now)
        slots.put(frame(name, at))
    taken = [slots.counts(f"camera-{k}").taken for k in range(8)]
    assert sum(slots.counts(f"camera-{k}").dropped for k in range(8)) > 0
    assert 1 - min(taken) / max(taken) <= 0.05, taken


def test_a_slow_camera_is_not_starved_by_fast_ones() -> None:
    clock = SetClock()
    slots = LatestFrames(clock=clock)
    slots.add("slow", 1.0)
    for i in range(4):
        slots.add(f"fast-{i}", 30.0)
    for tick in range(300):  # 30 fps for 10 s; inference manages 6 a second
        clock.now = tick / 30
        for i in range(4):
            slots.put(frame(f"fast-{i}", clock.now))
        if tick % 30 == 0:
            slots.put(frame("slow", clock.now))
        if tick % 5 == 0:
            slots.take(0.0)
    assert slots.counts("slow").taken >= 9


def test_a_pause_is_not_made_good_by_a_burst() -> None:
    taken, _ = play([0.0, 0.1, *(60.0 + i / 100 for i in range(100))], 10.0)
    assert len([t for t in taken if t >= 60.0]) <= 11


def test_a_frame_waits_from_its_turn_until_it_is_taken() -> None:
    clock = SetClock()
    slots = LatestFrames(clock=clock)
    slots.add("a", 10)
    assert not slots.waiting()
    slots.put(frame("a", 0.0))
    assert slots.waiting()
    assert slots.take(0.0) is not None
    assert not slots.waiting()
    slots.put(frame("a", 0.02))
    assert slots.take(0.0) is not None
    slots.put(frame("a", 0.05))
    assert not slots.waiting(), "it came before its turn"
    slots.put(frame("a", 0.12))
    assert slots.waiting()
    slots.close()
    assert not slots.waiting()


def test_take_waits_for_a_frame_and_gets_it_at_once() -> None:
    slots = LatestFrames(clock=SYSTEM_CLOCK)
    slots.add("a", 10.0)
    got: list[Frame | None] = []
    taker = threading.Thread(target=lambda: got.append(slots.take(20.0)))
    taker.start()
    slots.put(frame("a", SYSTEM_CLOCK.mono(), 7))
    taker.join(timeout=15.0)
    assert not taker.is_alive()
    assert got[0] is not None
    assert got[0].seq == 7


def test_take_waits_for_a_held_frames_turn() -> None:
    slots = LatestFrames(clock=SYSTEM_CLOCK)
    slots.add("a", 5.0)
    start = SYSTEM_CLOCK.mono()
    for seq in range(2):
        slots.put(frame("a", start + 0.01 * seq, seq))
        assert slots.take(1.0) is not None
    slots.put(frame("a", start + 0.02, 2))
    got = slots.take(20.0)
    assert got is not None
    assert got.seq == 2
    assert SYSTEM_CLOCK.mono() - start >= 0.2


def test_take_gives_up_after_its_timeout() -> None:
    slots = LatestFrames(clock=SYSTEM_CLOCK)
    slots.add("a", 10.0)
    start = SYSTEM_CLOCK.mono()
    assert slots.take(0.05) is None
    assert SYSTEM_CLOCK.mono() - start >= 0.05


def test_close_wakes_takers_and_ends_all() -> None:
    slots = LatestFrames(clock=SYSTEM_CLOCK)
    slots.add("a", 10.0)
    got: list[Any] = []
    takers = [threading.Thread(target=lambda: got.append(slots.take(60.0))) for _ in range(3)]
    for taker in takers:
        taker.start()
    slots.close()
    for taker in takers:
        taker.join(timeout=15.0)
    assert got == [None, None, None]
    slots.put(frame("a", 0.0))
    assert slots.take(60.0) is None


def test_an_unknown_or_removed_camera_is_ignored() -> None:
    slots = LatestFrames(clock=SetClock())
    slots.put(frame("never", 0.0))
    slots.add("a", 10.0)
    slots.put(frame("a", 0.0))
    slots.remove("a")
    slots.remove("a")
    slots.put(frame("a", 1.0))
    assert slots.take(0.0) is None
    assert slots.counts("a") == SlotCounts()


def test_adding_again_changes_the_rate_at_once_and_keeps_the_counts() -> None:
    clock = SetClock()
    slots = LatestFrames(clock=clock)
    slots.add("a", 1 / 60)
    slots.put(frame("a", 0.0))
    assert slots.take(0.0) is not None
    slots.add("a", 10.0)
    clock.now = 0.1
    slots.put(frame("a", 0.1))
    assert slots.take(0.0) is not None
    assert slots.counts("a").taken == 2


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses_a_rate_that_is_none(fps: float) -> None:
    with pytest.raises(ValueError, match="max_fps"):
        LatestFrames(clock=SetClock()).add("a", fps)


def test_many_threads_lose_no_count() -> None:
    slots = LatestFrames(clock=SYSTEM_CLOCK)
    names = ["a", "b", "c"]
    for name in names:
        slots.add(name, 100_000.0)
    done = threading.Event()

    def feed(name: str) -> None:
        for seq in range(500):
            slots.put(frame(name, SYSTEM_CLOCK.mono(), seq))

    def eat() -> None:
        while slots.take(0.05) is not None or not done.is_set():
            pass

    eaters = [threading.Thread(target=eat) for _ in range(2)]
    feeders = [threading.Thread(target=feed, args=(name,)) for name in names]
    for thread in eaters + feeders:
        thread.start()
    for thread in feeders:
        thread.join()
    done.set()
    for thread in eaters:
        thread.join(timeout=20.0)
    for name in names:
        counts = slots.counts(name)
        assert counts.taken + counts.dropped + counts.skipped == 500


def test_of_those_that_wait_the_longest_passed_over_is_taken_and_none_twice() -> None:
    clock = SetClock()
    slots = LatestFrames(clock=clock)
    for name in "abc":
        slots.add(name, 10.0)
    for at, name in ((1.0, "b"), (2.0, "a"), (3.0, "c")):
        clock.now = at
        slots.put(frame(name, at))
        assert slots.take(0.0) is not None
    clock.now = 4.0
    for name in "abc":
        slots.put(frame(name, 4.0))
    taken: list[str] = []
    while (found := slots.take_waiting(taken)) is not None:
        taken.append(found.camera)
    assert taken == ["b", "a", "c"]
    assert slots.counts("a").taken == 2
    clock.now = 5.0
    slots.put(frame("a", 5.0))
    assert slots.take_waiting(["a"]) is None
    slots.close()
    assert slots.take_waiting([]) is None


def test_a_hurried_camera_is_taken_faster_at_once_and_then_as_usual() -> None:
    clock = SetClock()
    slots = LatestFrames(clock=clock)
    slots.add("a", 10.0)
    taken: list[float] = []
    for k in range(90):
        clock.now = k / 30
        if k in (30, 60):
            slots.hurry("a", 2.0 if k == 30 else 1.0)
        slots.put(frame("a", clock.now, k))
        if slots.take(0.0) is not None:
            taken.append(clock.now)
    counts = [sum(second <= at < second + 1 for at in taken) for second in (0, 1, 2)]
    assert counts[0] in (10, 11)
    assert 18 <= counts[1] <= 21
    assert counts[2] in (10, 11)
    slots.hurry("b", 2.0)
    assert slots.counts("b").taken == 0, "one that is not known stays unknown"
