"""Cameras that go and come back: how soon their pictures are back, and what a hundred comings leave behind."""

from __future__ import annotations

import random
import threading
import time

import pytest

from detector.capture.camera import CameraLoop
from detector.capture.rtsp.source import RtspSource
from detector.capture.source import CameraRefusedError
from detector.core.backoff import Backoff
from detector.core.types import Frame
from support.cameras import Running, Script, Until
from support.clocks import SetClock
from support.rtsp_server import RtspServer, why_not

BACK_S = 5.0  # so soon after the camera's return its pictures are back, where it was away for less than a minute


LONG = [pytest.mark.fault, pytest.mark.alone]


def waits(loop: CameraLoop, clock: SetClock, monkeypatch: pytest.MonkeyPatch, stop: threading.Event) -> list[float]:
    """How long `loop` waits after each failure, on a clock that the waits move."""
    made: list[float] = []

    def wait(seconds: float) -> None:
        made.append(seconds)
        clock.now += seconds + 0.1  # what a refused connection takes
        if clock.now > 600.0:
            stop.set()

    monkeypatch.setattr(loop, "_wait", wait)
    loop.run()
    return made


@pytest.mark.parametrize("seed", range(5))
def test_the_wait_is_short_for_a_minute_and_long_only_then(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random.seed(seed)
    clock, stop = SetClock(), threading.Event()
    loop = CameraLoop(name="porch", make_source=lambda: Script("gone"), put=lambda _: None, stop=stop, clock=clock)
    made = waits(loop, clock, monkeypatch, stop)
    since, early, late = 0.0, list[float](), list[float]()
    for seconds in made:
        (early if since < 60.0 else late).append(seconds)
        since += seconds + 0.1
    assert max(early) <= 2.0
    assert len(early) > 20
    assert max(late) > 5.0
    assert len(made) < 200


def test_a_camera_that_said_no_is_not_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cameras lock an account after some wrong passwords: seven tries a minute, not thirty."""
    clock, stop = SetClock(), threading.Event()
    loop = CameraLoop(
        name="porch",
        make_source=lambda: Script(CameraRefusedError("401")),
        put=lambda _: None,
        stop=stop,
        clock=clock,
        backoff=None,
    )
    made = waits(loop, clock, monkeypatch, stop)
    assert len(made) < 90
    assert max(made) > 10.0


def test_full_jitter_spreads_the_first_tries() -> None:
    first = [Backoff(cap=2.0).next() for _ in range(50)]
    assert max(first) - min(first) > 0.2


@pytest.mark.skipif(why_not() is not None, reason=f"needs a real RTSP server: {why_not()}")
@pytest.mark.parametrize(
    "away_s", [pytest.param(3.0, marks=LONG), pytest.param(8.0, marks=LONG), pytest.param(12.0, marks=LONG)]
)
@pytest.mark.parametrize("how", ["killed", "hung"])
def test_row_11_pictures_are_back_within_five_seconds_of_the_cameras_return(
    away_s: float, how: str, running: Running, until: Until
) -> None:
    stop, got = threading.Event(), list[Frame]()
    with RtspServer(fps=10) as server:
        loop = CameraLoop(
            name="porch",
            make_source=lambda: RtspSource(url=server.url, timeout_s=5.0),
            put=got.append,
            stop=stop,
        )
        running(loop.run, stop)
        until(lambda: len(got) > 5)
        if how == "hung":
            server.stall()
            time.sleep(away_s)
        server.kill()
        if how == "killed":
            time.sleep(away_s)
        server.start()
        back, before = time.monotonic(), len(got)
        until(lambda: len(got) > before)
        assert time.monotonic() - back < BACK_S
        stop.set()
