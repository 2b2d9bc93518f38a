"""The camera loop and time: stamps, rates, progress, back-off, what is logged."""

from __future__ import annotations

import logging
import random
import threading

import pytest

from detector.capture.camera import CameraLoop
from detector.capture.source import CapturedImage, Source
from detector.core.backoff import Backoff
from detector.core.errors import SourceError
from detector.core.types import Frame
from support.cameras import PICTURE, Running, Script, States, Until, loop_of
from support.clocks import SetClock


def test_a_jump_of_the_wall_clock_changes_nothing_but_the_stamp() -> None:
    clock, stop, got = SetClock(now=100.0, wall_ahead=1e9), threading.Event(), list[Frame]()

    def put(frame: Frame) -> None:
        got.append(frame)
        clock.now += 0.1
        clock.wall_ahead -= 3600.0 if len(got) == 10 else 0.0
        if len(got) == 20:
            stop.set()

    loop = loop_of(Script(1000), put, stop, clock=clock)
    loop.run()
    assert loop.stats().fps == pytest.approx(10.0)
    assert [f.captured_mono for f in got] == pytest.approx([100.0 + i / 10 for i in range(20)])
    assert got[10].captured_wall < got[9].captured_wall


def test_rate_is_that_of_the_last_seconds_and_falls_when_frames_stop() -> None:
    clock, stop = SetClock(), threading.Event()
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
        def read(self) -> CapturedImage:
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
    clock, stop, scripts = SetClock(), threading.Event(), list[Script]()

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
    class CountingBackoff(Backoff):
        def __init__(self) -> None:
            super().__init__(base=0.001, cap=0.002)
            self.resets = 0

        def next(self) -> float:
            return 0.0

        def reset(self) -> None:
            self.resets += 1

    def play(step_s: float) -> int:
        clock, stop, backoff = SetClock(), threading.Event(), CountingBackoff()
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
    class Decoded(Script):
        """Reads 3 s after the packet came; a stamp from the future is a fault that must not spread."""

        def read(self) -> CapturedImage:
            clock.now += 3.0
            ahead = 7.0 if len(got) == 1 else -3.0
            return CapturedImage(image=PICTURE, media_s=None, mono=clock.now + ahead)

    clock, stop, got = SetClock(now=100.0, wall_ahead=1e9), threading.Event(), list[Frame]()

    def put(frame: Frame) -> None:
        got.append(frame)
        if len(got) == 2:
            stop.set()

    loop = loop_of(Decoded(), put, stop, clock=clock)
    loop.run()
    assert [frame.captured_mono for frame in got] == [100.0, 106.0]
    assert [frame.captured_wall for frame in got] == pytest.approx([1e9 + 100.0, 1e9 + 106.0])
    assert loop.stats().progress_mono == 106.0
