from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from detector.capture.latest_frames import LatestFrames
from detector.core.types import ArrayImage, Frame
from detector.service.health import STALE_S, HealthMonitor
from detector.service.overload import WINDOW_S
from detector.service.runtime import House
from support.visits import StillClock


@dataclass(slots=True)
class _House:
    """What the watch looks at, still clock, two cameras with real slots; stages, post and history are silent."""

    house: Any
    clock: StillClock
    slots: LatestFrames

    def second(self, watch: HealthMonitor, *, looked_at: int, fps: int = 10) -> None:
        """A second of both cameras, of each `looked_at` frames are taken; the watch looks twice."""
        for number in range(fps):
            for name in ("a", "b"):
                self.slots.put(
                    Frame(camera=name, seq=0, captured_mono=self.clock.mono(), captured_wall=0.0, image=_IMAGE)
                )
            for _ in range(2 * (number * looked_at // fps < (number + 1) * looked_at // fps)):
                assert self.slots.take(0.0) is not None
            self.clock.now_mono += 1 / fps
            if number % (fps // 2) == 0:
                watch.assess()


_IMAGE = ArrayImage(np.zeros((8, 8, 3), np.uint8))


@pytest.fixture
def home() -> _House:
    clock = StillClock(mono=1000.0)
    slots = LatestFrames(clock=clock)
    for name in ("a", "b"):
        slots.add(name, 10.0)
    house = SimpleNamespace(
        clock=clock,
        slots=slots,
        stages=[],
        config=SimpleNamespace(cameras={"a": None, "b": None}),
        cameras=SimpleNamespace(stats=dict),
        worker=SimpleNamespace(loading=False, failing_since=None, progress_mono=clock.mono(), detector=object()),
        dispatcher=SimpleNamespace(progress_mono=clock.mono()),
        link=SimpleNamespace(status=lambda: SimpleNamespace(state="connected")),
        outbox=SimpleNamespace(stats=lambda: SimpleNamespace(fault=None, pending_alerts=0)),
        history=SimpleNamespace(prune=lambda: None),
    )
    return _House(house, clock, slots)


def _overload(watch: HealthMonitor) -> list[str]:
    return [line for line in watch.problems() if line.startswith("overloaded")]


def test_an_overload_is_told_with_its_rates_and_is_over_when_it_is_over(home: _House) -> None:
    watch = HealthMonitor(cast("House", home.house))
    for _ in range(round(WINDOW_S) + 2):
        home.second(watch, looked_at=5)
    assert _overload(watch) == [
        "overloaded: 10 of 20 frames/s are looked at; lower detect_fps or choose a smaller model"
    ]
    for _ in range(round(WINDOW_S) + 2):
        home.second(watch, looked_at=10)
    assert _overload(watch) == []


def test_frames_lost_to_a_failing_model_are_not_called_an_overload(home: _House) -> None:
    watch = HealthMonitor(cast("House", home.house))
    home.house.worker.failing_since = home.clock.mono()
    home.house.worker.error = "NaN"
    for _ in range(round(WINDOW_S) + 2):
        home.second(watch, looked_at=2)
    assert _overload(watch) == []
    assert any("failing" in line for line in watch.problems())


def test_a_model_that_takes_minutes_to_load_is_no_stage_that_stands_still(home: _House) -> None:
    watch = HealthMonitor(cast("House", home.house))
    home.house.worker.loading = True
    home.clock.now_mono += 10 * STALE_S
    home.house.dispatcher.progress_mono = home.clock.mono()
    assert watch.health().ok
    home.house.worker.loading = False
    assert watch.health().stage == "inference"
