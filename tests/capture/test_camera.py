from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable
from pathlib import Path

from detector.capture.camera import CameraLoop
from detector.capture.file import FileSource
from detector.capture.latest_frames import LatestFrames
from detector.capture.network import NetworkSource
from detector.capture.source import CapturedImage, Source
from detector.core.clock import SYSTEM_CLOCK
from detector.core.types import Frame
from support.cameras import Running, Script, States, Until, loop_of
from support.clips import clip
from support.mjpeg_server import MjpegServer
from support.rtsp_server import RtspServer
from support.stamped import age_s


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
    stop, slots = threading.Event(), LatestFrames(clock=SYSTEM_CLOCK)
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
        def read(self) -> CapturedImage:
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
