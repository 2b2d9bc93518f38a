from __future__ import annotations

import functools
import itertools
import logging
import random
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detector.capture.backoff import Backoff
from detector.capture.camera import CameraLoop, OnState
from detector.capture.file import FileSource
from detector.capture.network import NetworkSource
from detector.capture.slot import LatestSlots
from detector.capture.source import Grab, Source
from detector.clock import SYSTEM_CLOCK, Clock
from detector.errors import SourceError
from detector.types import ArrayImage, CameraState, Frame
from support.clips import clip
from support.mjpeg_server import MjpegServer
from support.rtsp_server import RtspServer
from support.stamped import age_s

Running = Callable[[Callable[[], None], threading.Event], threading.Thread]
Until = Callable[[Callable[[], object]], None]
PICTURE = ArrayImage(np.zeros((4, 6, 3), np.uint8))
FAST = (0.01, 0.05)


class Script:
    """A source that plays a list: a number is so many frames, a text is a SourceError."""

    def __init__(self, *steps: int | str | Exception) -> None:
        self.steps = list(steps)
        self.opened = self.closed = 0
        self.threads: set[str] = set()

    def open(self) -> None:
        self.opened += 1
        self.threads.add(threading.current_thread().name)

    def read(self) -> Grab:
        step = self.steps[0] if self.steps else "exhausted"
        if isinstance(step, int) and step > 0:
            self.steps[0] = step - 1
            return Grab(image=PICTURE, media_s=None)
        if self.steps:
            self.steps.pop(0)
        if isinstance(step, int):
            return self.read()
        raise step if isinstance(step, Exception) else SourceError(step)

    def close(self) -> None:
        self.closed += 1
        self.threads.add(threading.current_thread().name)


class States(list[tuple[CameraState, "str | None"]]):
    def told(self, name: str, state: CameraState, error: str | None) -> None:
        assert name == "porch"
        self.append((state, error))

    @property
    def names(self) -> list[CameraState]:
        return [state for state, _ in self]


def loop_of(
    source: Source | Callable[[], Source],
    put: Callable[[Frame], None],
    stop: threading.Event,
    *,
    clock: Clock = SYSTEM_CLOCK,
    on_state: OnState | None = None,
) -> CameraLoop:
    return CameraLoop(
        name="porch",
        make_source=source if callable(source) else lambda: source,
        put=put,
        stop=stop,
        clock=clock,
        on_state=on_state,
        backoff=Backoff(base=FAST[0], cap=FAST[1], rng=random.Random(3)),
    )


def test_rtsp_outage_and_return(rtsp: RtspServer, running: Running, until: Until) -> None:
    stop, states, got = threading.Event(), States(), list[Frame]()
    loop = loop_of(lambda: NetworkSource(url=rtsp.url, timeout_s=1.0), got.append, stop, on_state=states.told)
    assert loop.stats().state == "connecting"
    running(loop.run, stop)
    until(lambda: loop.stats().fps > 10 and len(got) > 25)
    stats = loop.stats()
    assert (stats.state, stats.error, stats.width, stats.height) == ("online", None, 320, 240)
    rtsp.kill()
    until(lambda: loop.stats().state == "offline")
    assert loop.stats().fps == 0.0
    before = len(got)
    until(lambda: loop.stats().reconnects >= 3)
    rtsp.start()
    until(lambda: len(got) > before + 5)
    rtsp.stall()
    until(lambda: "no answer" in (loop.stats().error or ""))
    rtsp.resume()
    until(lambda: loop.stats().state == "online")
    stop.set()
    assert [frame.seq for frame in got] == list(range(len(got)))
    assert states.names[0] == "online"
    assert {"online", "offline"} == set(states.names)
    assert not any("p%40s" in (error or "") or "p@s" in (error or "") for _, error in states)


def test_a_slow_inference_sees_fresh_frames(mjpeg: MjpegServer, running: Running) -> None:
    stop, slots = threading.Event(), LatestSlots(clock=SYSTEM_CLOCK)
    slots.add("porch", 100.0)
    loop = loop_of(lambda: NetworkSource(url=mjpeg.url, timeout_s=5.0), slots.put, stop)
    running(loop.run, stop)
    ages = []
    for _ in range(6):
        frame = slots.take(20.0)
        assert frame is not None
        ages.append(age_s(frame.image.luma()))
        stop.wait(0.35)  # an inference at a seventh of the camera's rate
    stop.set()
    # 35 pictures came; read one by one the last would be a second and a half old.
    assert sorted(ages)[len(ages) // 2] < 0.5
    assert ages[-1] < 1.0
    assert slots.counts("porch").dropped > 10


def test_twenty_reconnects_leak_nothing_and_the_thread_ends(
    mjpeg: MjpegServer, running: Running, until: Until, leaks: Callable[[], tuple[int, int]]
) -> None:
    def reconnect(loop: CameraLoop, times: int) -> None:
        for target in range(loop.stats().reconnects + 1, loop.stats().reconnects + times + 1):
            mjpeg.hang_up()
            until(functools.partial(is_back, loop, target))

    def is_back(loop: CameraLoop, reconnects: int) -> bool:
        return loop.stats().reconnects >= reconnects and loop.stats().state == "online"

    stop = threading.Event()
    loop = loop_of(lambda: NetworkSource(url=mjpeg.url, timeout_s=5.0), lambda _: None, stop)
    thread = running(loop.run, stop)
    until(lambda: loop.stats().state == "online")
    reconnect(loop, 2)
    before = leaks()
    reconnect(loop, 20)
    until(lambda: leaks() <= before)
    names = threading.enumerate()
    stop.set()
    thread.join(timeout=20.0)
    assert not thread.is_alive()
    assert thread in names


def test_a_file_that_ends_is_offline_and_left_alone(tmp_path: Path, running: Running, until: Until) -> None:
    stop, states, got = threading.Event(), States(), list[Frame]()
    path = clip(tmp_path / "a.mp4", frames=7)
    loop = loop_of(lambda: FileSource(path=path), got.append, stop, on_state=states.told)
    thread = running(loop.run, stop)
    until(lambda: loop.stats().state == "offline")
    assert states == [("online", None), ("offline", "end of file")]
    progress = loop.stats().progress_mono
    until(lambda: loop.stats().progress_mono > progress)  # idle, not hung
    assert loop.stats().reconnects == 0
    assert loop.stats().frames == len(got) == 7
    stop.set()
    thread.join(timeout=20.0)
    assert not thread.is_alive()


def test_online_only_with_the_first_frame(running: Running, until: Until) -> None:
    stop, states = threading.Event(), States()
    gate = threading.Event()

    class Late(Script):
        def read(self) -> Grab:
            gate.wait(20.0)
            return super().read()

    def slow_put(_: Frame) -> None:
        stop.wait(0.01)

    loop = loop_of(Late(1000), slow_put, stop, on_state=states.told)
    running(loop.run, stop)
    until(lambda: loop.stats().progress_mono)
    assert loop.stats().state == "connecting"
    assert states == []
    gate.set()
    until(lambda: states == [("online", None)])


def test_each_source_is_closed_once_in_the_loops_own_thread(running: Running, until: Until) -> None:
    stop, made = threading.Event(), list[Script]()

    def make() -> Source:
        made.append(Script(3, "gone"))
        return made[-1]

    loop = loop_of(make, lambda _: None, stop)
    running(loop.run, stop).join(timeout=0.0)
    until(lambda: len(made) > 4)
    stop.set()
    until(lambda: all(source.closed == 1 for source in made))
    assert all(source.threads == {"camera-under-test"} for source in made)


def test_sequence_numbers_and_stamps_never_go_back_over_reconnects(running: Running, until: Until) -> None:
    stop, got = threading.Event(), list[Frame]()
    loop = loop_of(lambda: Script(4, "gone"), got.append, stop)
    running(loop.run, stop)
    until(lambda: len(got) >= 20)
    stop.set()
    assert [frame.seq for frame in got] == list(range(len(got)))
    assert all(b.captured_mono >= a.captured_mono for a, b in itertools.pairwise(got))


def test_a_jump_of_the_wall_clock_changes_nothing_but_the_stamp() -> None:
    class Jumping:
        def __init__(self) -> None:
            self.now, self.offset = 100.0, 1e9

        def mono(self) -> float:
            return self.now

        def wall(self) -> float:
            return self.now + self.offset

    clock, stop, got = Jumping(), threading.Event(), list[Frame]()

    def put(frame: Frame) -> None:
        got.append(frame)
        clock.now += 0.1
        clock.offset -= 3600.0 if len(got) == 10 else 0.0
        if len(got) == 20:
            stop.set()

    loop = loop_of(Script(1000), put, stop, clock=clock)
    loop.run()
    assert loop.stats().fps == pytest.approx(10.0)
    assert [f.captured_mono for f in got] == pytest.approx([100.0 + i / 10 for i in range(20)])
    assert got[10].captured_wall < got[9].captured_wall


def test_rate_is_that_of_the_last_seconds_and_falls_when_frames_stop() -> None:
    class Time:
        now = 0.0

        def mono(self) -> float:
            return self.now

        def wall(self) -> float:
            return self.now

    clock, stop = Time(), threading.Event()
    rates = []

    def put(frame: Frame) -> None:
        rates.append(loop.stats().fps)
        clock.now += 0.04 if frame.seq < 250 else 0.2
        if frame.seq == 300:
            stop.set()

    loop = loop_of(Script(1000), put, stop, clock=clock)
    loop.run()
    assert rates[0] == 0.0
    assert rates[20] == pytest.approx(25.0)
    assert rates[240] == pytest.approx(25.0, rel=0.01)
    assert rates[300] == pytest.approx(5.0, rel=0.05)
    clock.now += 2.0
    assert 0.0 < loop.stats().fps < 4.0
    clock.now += 10.0
    assert loop.stats().fps == 0.0


def test_progress_goes_on_while_the_camera_is_off(running: Running, until: Until) -> None:
    stop = threading.Event()
    off = CameraLoop(
        name="off",
        make_source=lambda: Script("no route"),
        put=lambda _: None,
        stop=stop,
        backoff=Backoff(base=30.0, cap=30.0, rng=random.Random(1)),
    )
    running(off.run, stop)
    until(lambda: off.stats().state == "offline")
    first = off.stats().progress_mono
    until(lambda: off.stats().progress_mono > first)
    assert off.stats().reconnects == 0


def test_progress_stands_while_a_read_hangs(running: Running, until: Until) -> None:
    stop, reading, release = threading.Event(), threading.Event(), threading.Event()

    class Hung(Script):
        def read(self) -> Grab:
            reading.set()
            release.wait(20.0)
            raise SourceError("released")

    loop = loop_of(Hung(), lambda _: None, stop)
    running(loop.run, stop)
    assert reading.wait(20.0)
    stuck = loop.stats().progress_mono
    stop.wait(1.2)  # longer than a slice, in which a loop that is alive shows it
    assert loop.stats().progress_mono == stuck
    release.set()
    until(lambda: loop.stats().progress_mono > stuck)


def test_stop_ends_a_long_back_off_at_once(running: Running, until: Until) -> None:
    stop = threading.Event()
    backoff = Backoff(base=3600.0, cap=3600.0, rng=random.Random(5))
    loop = CameraLoop(name="porch", make_source=lambda: Script("no"), put=lambda _: None, stop=stop, backoff=backoff)
    thread = running(loop.run, stop)
    until(lambda: loop.stats().state == "offline")
    stop.set()
    thread.join(timeout=10.0)
    assert not thread.is_alive()


def test_equal_errors_are_logged_once_and_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    class Time:
        now = 0.0

        def mono(self) -> float:
            return self.now

        def wall(self) -> float:
            return self.now

    clock, stop, scripts = Time(), threading.Event(), list[Script]()

    def make() -> Source:
        clock.now += 5.0
        scripts.append(Script("no route to rtsp://u:secret@host/x") if len(scripts) < 40 else Script(3, "eof"))
        if len(scripts) == 42:
            stop.set()
        return scripts[-1]

    class Instant(Backoff):
        def next(self) -> float:
            return 0.0

    loop = CameraLoop(name="porch", make_source=make, put=lambda _: None, stop=stop, clock=clock, backoff=Instant())
    with caplog.at_level(logging.INFO):
        loop.run()
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "camera porch: no route to rtsp://***@host/x"
    summed = [line for line in lines if "times more" in line]
    assert 2 <= len(summed) <= 4
    assert any("online again after 2" in line for line in lines)
    assert len(lines) <= 8
    assert "secret" not in caplog.text


def test_a_flapping_camera_is_not_hammered_and_a_steady_one_retries_fast() -> None:
    class Counting(Backoff):
        def __init__(self) -> None:
            super().__init__(base=0.001, cap=0.002)
            self.resets = 0

        def next(self) -> float:
            return 0.0

        def reset(self) -> None:
            self.resets += 1

    class Time:
        now = 0.0

        def mono(self) -> float:
            return self.now

        def wall(self) -> float:
            return self.now

    def play(step_s: float) -> int:
        clock, stop, backoff = Time(), threading.Event(), Counting()
        tries = 0

        def make() -> Source:
            nonlocal tries
            tries += 1
            clock.now += 1.0
            if tries == 5:
                stop.set()
            return Script(10, "gone")

        def put(_: Frame) -> None:
            clock.now += step_s

        CameraLoop(name="porch", make_source=make, put=put, stop=stop, clock=clock, backoff=backoff).run()
        return backoff.resets

    assert play(step_s=0.1) == 0
    assert play(step_s=1.0) > 0


def test_a_fault_in_a_library_is_an_outage_not_the_end(
    running: Running, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    stop, calls, got = threading.Event(), list[int](), list[Frame]()

    def make() -> Source:
        calls.append(1)
        return Script(RuntimeError("rtsp://u:secret@host")) if len(calls) == 1 else Script(5, "gone")

    states = States()
    loop = loop_of(make, got.append, stop, on_state=states.told)
    running(loop.run, stop)
    until(lambda: len(got) >= 5)
    assert states[0] == ("offline", "unexpected error: RuntimeError")


def test_a_frame_is_as_old_as_its_last_packet_and_the_loop_as_alive_as_its_last_read() -> None:
    class Time:
        now = 100.0

        def mono(self) -> float:
            return self.now

        def wall(self) -> float:
            return self.now + 1e9

    class Decoded(Script):
        """Reads 3 s after the packet came; a stamp from the future is a fault that must not spread."""

        def read(self) -> Grab:
            clock.now += 3.0
            ahead = 7.0 if len(got) == 1 else -3.0
            return Grab(image=PICTURE, media_s=None, mono=clock.now + ahead)

    clock, stop, got = Time(), threading.Event(), list[Frame]()

    def put(frame: Frame) -> None:
        got.append(frame)
        if len(got) == 2:
            stop.set()

    loop = loop_of(Decoded(), put, stop, clock=clock)
    loop.run()
    assert [frame.captured_mono for frame in got] == [100.0, 106.0]
    assert [frame.captured_wall for frame in got] == pytest.approx([1e9 + 100.0, 1e9 + 106.0])
    assert loop.stats().progress_mono == 106.0
