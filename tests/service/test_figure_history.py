from __future__ import annotations

from typing import Any

from detector.service.figure_history import DAY_POINTS, HOUR_POINTS, FigureHistory
from support.visits import WALL, StillClock


class SampledStatus:
    """A status whose figures the test sets, sampled by a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = StillClock()
        self.camera: dict[str, Any] = {"detect_fps": 10.0, "people": 0, "latency_ms": {"p50": 40.0, "p99": 80.0}}
        self.cameras = {"porch": self.camera}
        self.figures = FigureHistory(status=self.status, clock=self.clock)

    def status(self) -> dict[str, Any]:
        return {"model": {"infer_ms": {"p50": 26.0, "p99": None}}, "cameras": self.cameras}

    def go(self, seconds: float) -> None:
        """Time in the half seconds in which the service looks."""
        for _ in range(round(seconds * 2)):
            self.figures.tick()
            self.clock.now_mono += 0.5
            self.clock.now_wall += 0.5


def test_a_sample_every_ten_seconds_for_an_hour() -> None:
    watched = SampledStatus()
    watched.go(30)
    found = watched.figures.document(day=False)
    assert found["times"] == [round(WALL + 10 * n, 1) for n in range(3)]
    assert found["series"]["porch"]["latency_p99_ms"] == [80.0] * 3
    assert found["series"][""] == {"infer_p50_ms": [26.0] * 3, "infer_p99_ms": [None] * 3}
    watched.go(4000)
    assert len(watched.figures.document(day=False)["times"]) == HOUR_POINTS


def test_the_day_holds_means_but_the_most_people_and_the_worst_p99() -> None:
    watched = SampledStatus()
    watched.go(150)
    watched.camera.update(detect_fps=5.0, people=2, latency_ms={"p50": 60.0, "p99": 300.0})
    watched.go(150)
    found = watched.figures.document(day=True)
    assert found["series"]["porch"] == {
        "detect_fps": [7.5], "people": [2], "latency_p50_ms": [50.0], "latency_p99_ms": [300.0]
    }  # fmt: skip
    watched.go(20)
    assert len(watched.figures.document(day=True)["times"]) == 2, "what has begun is shown too"
    watched.go(90_000)
    assert DAY_POINTS <= len(watched.figures.document(day=True)["times"]) <= DAY_POINTS + 1


def test_a_camera_that_comes_or_goes_has_gaps() -> None:
    watched = SampledStatus()
    watched.go(10)
    watched.cameras["gate"] = {**watched.camera, "detect_fps": None}
    watched.go(10)
    del watched.cameras["porch"]
    watched.go(10)
    series = watched.figures.document(day=False)["series"]
    assert series["porch"]["detect_fps"] == [10.0, 10.0, None]
    assert series["gate"]["people"] == [None, 0, 0]
