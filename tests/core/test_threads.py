from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from detector.core.threads import HeartbeatEvent, ServiceThread
from support.visits import StillClock


def test_it_runs_under_its_name_until_told_to_stop() -> None:
    names: list[str] = []

    def work(stop: threading.Event) -> None:
        names.append(threading.current_thread().name)
        stop.wait(10)

    stage = ServiceThread(name="camera-a", run=work)
    stage.start()
    assert stage.alive
    assert stage.join(5)
    assert names == ["camera-a"]
    assert stage.failure is None


def test_a_failure_is_kept_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def work(_stop: threading.Event) -> None:
        raise ValueError("broken")

    stage = ServiceThread(name="s", run=work)
    with caplog.at_level(logging.ERROR):
        stage.start()
        assert stage.join(5)
    assert isinstance(stage.failure, ValueError)
    assert "thread s failed" in caplog.text


def test_one_that_does_not_stop_is_told_of_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()

    def deaf(_stop: threading.Event) -> None:
        release.wait(10)

    stage = ServiceThread(name="s", run=deaf)
    stage.start()
    with caplog.at_level(logging.ERROR):
        assert not stage.join(0.05)
    assert "did not stop" in caplog.text
    release.set()
    assert stage.join(5)


def test_joining_one_never_started_is_no_error() -> None:
    assert ServiceThread(name="s", run=lambda _stop: None).join(0.1)


def test_a_stop_event_is_the_heartbeat_of_the_loop_that_asks_it() -> None:
    clock = StillClock()
    stop = HeartbeatEvent(clock)
    begun = stop.progress_mono
    clock.now_mono += 7.0
    assert stop.progress_mono == begun, "nobody asked"
    assert not stop.is_set()
    assert stop.progress_mono == begun + 7.0
    clock.now_mono += 5.0
    assert not stop.wait(0)
    assert stop.progress_mono == begun + 12.0


def test_the_kernel_knows_its_name() -> None:
    known: list[str] = []

    def work(_stop: threading.Event) -> None:
        known.append(Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text().strip())

    stage = ServiceThread(name="camera-front-door", run=work)
    stage.start()
    assert stage.join(10)
    assert known == ["camera-front-door"[:15]]
