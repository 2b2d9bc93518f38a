from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from detector.alerts.outbox_entries import OutboxStats
from detector.capture.latest_frames import SlotCounts
from detector.core.errors import InferenceError
from detector.core.threads import ServiceThread, ThreadGroup
from detector.inference.multi_size import AnyDetector
from detector.service.health import FAILING_S, STALE_S, HealthMonitor
from detector.service.model_host import ModelHost
from detector.service.overload import WINDOW_S, LoadMeter
from support.service import BrokerState, CaptureFigures, OutboxState, captured, make_store
from support.visits import StillClock


def _no_model() -> AnyDetector:
    raise InferenceError("no model in this test")


def _wait(stop: threading.Event) -> None:
    stop.wait(20)


@dataclass
class Beat:
    progress_mono: float = 1000.0


@dataclass
class Monitored:
    """A monitor over real threads, model host and load meter, and over figures that a test sets."""

    clock: StillClock = field(default_factory=lambda: StillClock(mono=1000.0))
    threads: ThreadGroup = field(default_factory=ThreadGroup)
    cameras: CaptureFigures = field(default_factory=CaptureFigures)
    broker: BrokerState = field(default_factory=BrokerState)
    outbox: OutboxState = field(default_factory=OutboxState)
    load: LoadMeter = field(default_factory=LoadMeter)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.model = ModelHost(load=_no_model, clock=self.clock)
        self.health = self.monitor()

    def monitor(self, **other: Any) -> HealthMonitor:
        """One over these parts, `other` in the place of some."""
        parts: dict[str, Any] = {
            "threads": lambda: self.threads,
            "cameras": self.cameras.stats,
            "model": self.model,
            "broker": self.broker,
            "outbox": self.outbox,
            "load": self.load,
            "store": make_store(),
            "clock": self.clock,
        }
        return HealthMonitor(**(parts | other))

    def start(self, name: str, beat: Beat | None = None, *, background_s: float | None = None) -> ServiceThread:
        thread = ServiceThread(name=name, run=_wait, heartbeat=beat, background_s=background_s)
        return self.threads.start(thread)


@pytest.fixture
def service() -> Iterator[Monitored]:
    made = Monitored()
    yield made
    for thread in made.threads:
        assert thread.join(10)


def test_all_is_well(service: Monitored) -> None:
    service.start("mqtt", Beat())
    assert service.health.check()
    assert service.health.health().ok
    assert service.health.problems() == []


def test_a_thread_that_hangs_is_named_after_ten_seconds(service: Monitored) -> None:
    service.start("mqtt", Beat())
    service.clock.now_mono += STALE_S + 0.1
    service.cameras.by_name["porch"] = captured(progress_mono=service.clock.now_mono)
    health = service.health.health()
    assert (health.ok, health.stage, health.detail) == (False, "mqtt", "no progress for 10 s")
    assert STALE_S <= 10.0, "the time within which an operator is to know"


def test_one_that_the_service_goes_on_without_is_a_problem_and_no_reason_to_start_again(service: Monitored) -> None:
    service.start("outbox", Beat(), background_s=10.0)
    service.start("autotune", Beat(), background_s=300.0)
    service.clock.now_mono += STALE_S + 2.0
    service.cameras.by_name["porch"] = captured(progress_mono=service.clock.now_mono)
    assert service.health.check()
    assert service.health.problems()[0] == "outbox: no progress for 12 s"
    assert "autotune" not in str(service.health.problems())


def test_a_thread_that_ended_is_named_with_its_reason(service: Monitored) -> None:
    def fail(_stop: threading.Event) -> None:
        raise OSError("broken")

    thread = service.threads.start(ServiceThread(name="dispatch", run=fail))
    thread.join(10)
    assert (service.health.health().stage, service.health.health().detail) == ("dispatch", "ended: broken")
    assert service.threads.dead() is thread
    assert not service.health.check()


def test_a_camera_thread_that_died_is_named_at_once() -> None:
    """Its heartbeat alone would show that after the camera's time-outs."""
    service = Monitored()
    thread = ServiceThread(name="camera-porch", run=lambda _stop: None)
    thread.start()
    thread.join(10)
    service.threads.start(ServiceThread(name="mqtt", run=_wait))
    health = service.monitor(threads=lambda: (*service.threads, thread))
    assert (health.health().stage, health.health().detail) == ("camera-porch", "ended")
    for running in service.threads:
        running.join(10)


def test_a_change_of_health_is_logged_once(service: Monitored, caplog: pytest.LogCaptureFixture) -> None:
    beat = Beat()
    service.start("mqtt", beat)
    caplog.set_level("INFO")
    service.clock.now_mono += STALE_S + 1
    service.cameras.by_name = {}
    for _ in range(3):
        service.health.check()
    beat.progress_mono = service.clock.now_mono
    for _ in range(3):
        service.health.check()
    assert [record.message for record in caplog.records] == [
        "mqtt: no progress for 11 s",
        "every thread progresses again",
    ]


def test_a_camera_may_take_its_time_out_twice_before_it_hangs(service: Monitored) -> None:
    service.clock.now_mono += STALE_S + 0.5
    assert service.health.health().ok, "a read and an open may each take the time-out of 5 s"
    service.clock.now_mono += 1.0
    assert service.health.health().stage == "camera-porch"


def test_a_model_that_fails_is_a_fault_once_it_lasts(service: Monitored) -> None:
    service.cameras.by_name = {}
    service.model.failed(InferenceError("NaN"), service.stop)
    assert service.health.health().ok
    service.clock.now_mono += FAILING_S + 1
    assert service.health.health().detail == "failing for 11 s: NaN"
    service.model.succeeded()
    assert service.health.health().ok


def test_it_is_ready_once_the_model_and_a_frame_of_each_camera_are_there(service: Monitored) -> None:
    service.cameras.by_name["porch"] = captured("connecting", frames=0, error="no route")
    ready = service.health.ready()
    assert ready.reasons == ("the model is not loaded", "camera porch has given no frame yet: no route")


def test_a_camera_that_is_away_or_late_is_a_problem(service: Monitored) -> None:
    service.cameras.by_name = {"a": captured("offline", error="refused"), "b": captured(last_frame_mono=993.0)}
    assert service.health.problems() == ["camera a is offline: refused", "camera b: its last frame is 7 s old"]


def test_a_broker_that_is_away_is_a_problem_with_what_waits(service: Monitored) -> None:
    service.broker.set(state="offline", error="connection refused")
    service.outbox.now = OutboxStats(pending_alerts=3, fault="disk full")
    first, second = service.health.problems()
    assert first.startswith("broker 127.0.0.1:1883: connection refused; 3 alerts wait")
    assert second == "outbox: disk full"


def test_a_broker_that_never_acknowledges_is_a_problem_after_ten_seconds(service: Monitored) -> None:
    service.broker.set(unacknowledged=7, unacknowledged_s=9.0)
    assert service.health.problems() == []
    service.broker.set(unacknowledged=7, unacknowledged_s=12.3)
    assert service.health.problems() == [
        "broker 127.0.0.1:1883: it takes messages and does not acknowledge them: 7 wait, the oldest for 12 s"
    ]


def test_what_a_broker_does_not_take_is_a_problem(service: Monitored) -> None:
    service.broker.set(left_out=("p/porch/person/snapshot is left out: the broker ends the connection at it",))
    assert service.health.problems() == list(service.broker.now.left_out)


def _seconds(service: Monitored, seconds: float, *, taken: int, dropped: int) -> None:
    total = [0, 0]
    for _ in range(round(seconds * 2)):
        total = [total[0] + taken, total[1] + dropped]
        counts = {"porch": SlotCounts(taken=total[0], dropped=total[1], skipped=0)}
        service.load.observe(service.clock.mono(), counts)
        service.clock.now_mono += 0.5


def test_an_overload_is_a_problem_with_its_rates_until_it_is_over(service: Monitored) -> None:
    service.cameras.by_name = {}
    _seconds(service, WINDOW_S + 2, taken=5, dropped=5)
    assert service.health.problems() == [
        "overloaded: 10 of 20 frames/s are looked at; lower detect_fps or choose a smaller model"
    ]
    service.load.forget()
    assert service.health.problems() == []


def test_night_09_a_clock_that_nobody_sets_is_a_problem_after_an_hour(service: Monitored) -> None:
    unsynced_s = [3600.0]
    health = service.monitor(clock_unsynced_s=lambda: unsynced_s[0])
    assert health.problems() == []
    unsynced_s[0] = 7300.0
    (problem,) = health.problems()
    assert problem.startswith("the clock has not been known to be right for 2 h")


def test_night_08_a_view_that_is_gone_is_a_problem_with_its_reason(service: Monitored) -> None:
    health = service.monitor(tamper={"porch": "covered"}.get)
    assert health.problems() == ["camera porch: its view is covered"]
