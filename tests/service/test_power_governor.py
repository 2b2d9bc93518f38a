"""The governor's thread over made sensors, the real model host and frames; smaller models come from a small program."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from detector.capture.latest_frames import LatestFrames, SlotCounts
from detector.core.device_sensors import DeviceSensors
from detector.core.errors import InferenceError
from detector.core.threads import ServiceThread
from detector.inference.factory import load_detector
from detector.models.autotune.reduced import ReducedForm
from detector.models.graph.variants import prepare
from detector.service.governor import CLIMB_S, CONFIRM_S, SETTLE_S
from detector.service.model_host import FAILURES_BEFORE_RELOAD, ModelHost
from detector.service.overload import WINDOW_S, LoadMeter
from detector.service.power_governor import OVERLOAD_S, PowerGovernor
from support.clocks import SetClock
from support.mosquitto import wait_until
from support.service import captured, make_store
from support.sysfs import thermal_zone, write_sysfs

SMALL = (320, 256)


def answering(forms: list[ReducedForm]) -> list[str]:
    """A command that answers as the measurement in the child process does."""
    text = json.dumps([dataclasses.asdict(form) for form in forms])
    return [sys.executable, "-c", f"import sys; sys.stdin.read(); print({text!r})"]


class GovernedService:
    """A governor whose time goes on only with `pass_time`: one look a second."""

    def __init__(self, folder: Path, model: Path, forms: list[ReducedForm], **power: Any) -> None:
        self.root, self.clock, self.load = folder / "sys", SetClock(now=1000.0), LoadMeter()
        self.heat(50)
        self.store = make_store(
            {
                "model": {"name": str(model), "threads": 1, "probe": False},
                "cameras": {"a": {"source": "rtsp://10.0.0.4/1", "detect_fps": 10}},
                "power": power,
            }
        )
        self.frames = LatestFrames(clock=self.clock)
        self.host = ModelHost(load=lambda: load_detector(path=model, name="full", threads=1), clock=self.clock)
        self.host.open()
        self.governor = PowerGovernor(
            store=self.store,
            sensors=DeviceSensors(root=self.root, clock=self.clock.mono),
            frames=self.frames,
            model=self.host,
            load=self.load,
            cameras=lambda: {"a": captured()},
            clock=self.clock,
            command=answering(forms),
        )
        self.stop = threading.Event()

    def heat(self, celsius: float) -> None:
        write_sysfs(self.root, thermal_zone(0, "cpu-thermal", round(celsius * 1000), passive=99_000))

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.clock.now += 1.0
            self.governor.look(self.stop)
            self.host.take_next()

    def lose_frames(self, *, taken: int, dropped: int) -> None:
        """As a camera that loses frames for a whole window."""
        for step in range(round(2 * WINDOW_S) + 2):
            counts = {"a": SlotCounts(taken=taken * step, dropped=dropped * step)}
            self.load.observe(self.clock.now + step / 2, counts)

    def wait_measured(self) -> None:
        wait_until(lambda: self.governor.document()["note"] != "smaller models are being measured", "the measurement")

    def close(self) -> None:
        self.stop.set()
        self.host.close()


Make = Callable[..., GovernedService]


@pytest.fixture
def make(tmp_path: Path, small_model: Path) -> Iterator[Make]:
    """A governed service on a real model; its smaller form is made in the cache."""
    prepare(small_model, shape=SMALL)
    made: list[GovernedService] = []

    def build(*, costs: tuple[float, ...] = (0.4,), **power: Any) -> GovernedService:
        forms = [ReducedForm(name=str(small_model), size=SMALL, cost=cost) for cost in costs]
        made.append(GovernedService(tmp_path, small_model, forms, **power))
        return made[-1]

    yield build
    for each in made:
        each.close()


def test_heat_takes_the_rate_then_the_model_and_climbs_back_in_the_same_steps(make: Make) -> None:
    service = make(min_detect_fps=5)
    service.pass_time(30)
    assert service.governor.document()["state"] == "full"
    service.heat(96)
    service.pass_time(CONFIRM_S + 20)
    assert service.frames.share == 0.7
    assert service.governor.throttling() == "heat: cpu-thermal at 96 °C, limit 94 °C"
    service.wait_measured()
    service.pass_time(SETTLE_S + 1)
    assert (service.frames.share, service.host.reduced) == (0.5, False)
    service.pass_time(SETTLE_S + 1)
    document = service.governor.document()
    assert (document["level"], document["levels"], document["cost"]) == (3, 3, 0.2)
    assert document["model"] is not None
    assert service.host.detector is not None
    assert service.host.detector.input_size == SMALL
    assert service.governor.problems()[0].startswith("detection is reduced to 50% of detect_fps with ")
    service.pass_time(300)
    assert service.governor.document()["level"] == 3, "there is nothing below"
    service.heat(60)
    service.pass_time(CLIMB_S + 30)
    assert (service.frames.share, service.host.reduced) == (0.5, False)
    service.pass_time(2 * CLIMB_S + 30)
    assert (service.frames.share, service.governor.problems(), service.governor.throttling()) == (1.0, (), None)
    assert service.governor.changes == 6


def test_load_alone_makes_the_model_smaller_once_less_than_the_least_rate_is_possible(make: Make) -> None:
    service = make(min_detect_fps=2)
    service.lose_frames(taken=3, dropped=2)  # 6 of 10: evenly left out, which needs no step
    service.pass_time(60)
    assert (service.governor.changes, service.governor.problems()) == (0, ())
    service.load.forget()
    service.lose_frames(taken=1, dropped=9)
    service.pass_time(OVERLOAD_S - 2)
    assert service.governor.document()["note"] != "smaller models are being measured", "not for a burst of work"
    service.pass_time(4)
    service.wait_measured()
    service.pass_time(SETTLE_S + 2)
    assert (service.frames.share, service.host.reduced) == (1.0, True)
    assert service.governor.throttling() is None, "the device is not to blame"
    (problem,) = service.governor.problems()
    assert "load: 1.0 of 10 detections a second are possible" in problem
    service.load.forget()
    service.pass_time(CLIMB_S + 2)
    assert not service.host.reduced


def test_a_smaller_model_that_fails_is_not_used_again(make: Make) -> None:
    service = make(min_detect_fps=10)
    service.heat(96)
    service.pass_time(CONFIRM_S + 15)
    service.wait_measured()
    service.pass_time(SETTLE_S)
    assert service.host.reduced
    for _ in range(FAILURES_BEFORE_RELOAD):
        service.host.failed(InferenceError("NaN"), threading.Event())
    service.pass_time(SETTLE_S)
    document = service.governor.document()
    assert (service.host.reduced, document["forms"], document["levels"]) == (False, [], 0)
    assert "failed and is not used again" in document["note"]


def test_switched_off_it_does_nothing_and_gives_back_what_it_took(make: Make) -> None:
    service = make(min_detect_fps=5)
    service.heat(96)
    service.pass_time(CONFIRM_S + 15)
    assert service.frames.share == 0.7
    config = service.store.config
    off = config.model_copy(update={"power": config.power.model_copy(update={"adapt": False})})
    service.store.replace({}, off)
    service.pass_time(1)
    assert (service.frames.share, service.governor.document()["state"]) == (1.0, "off")
    service.pass_time(100)
    assert service.frames.share == 1.0


def test_a_power_budget_without_a_sensor_is_told(make: Make) -> None:
    service = make(budget_w=10)
    service.pass_time(1)
    assert service.governor.document()["note"] == (
        "power.budget_w is set, but there is no power sensor that can be read"
    )


def test_the_thread_ends_when_it_is_told_to(make: Make) -> None:
    service = make()
    thread = ServiceThread(name="governor", run=service.governor.run)
    thread.start()
    wait_until(lambda: service.governor.document()["levels"], "a look")
    thread.join(10)
    assert not thread.alive
