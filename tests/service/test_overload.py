from __future__ import annotations

from detector.capture.latest_frames import SlotCounts
from detector.service.overload import WINDOW_S, LoadMeter, Overload


class Run:
    """Cameras watched twice a second: each phase adds `taken` and `dropped` per camera and half second."""

    def __init__(self, *cameras: str) -> None:
        self.meter, self.now = LoadMeter(), 100.0
        self.counts = {name: SlotCounts() for name in cameras}

    def phase(self, seconds: float, *, taken: int, dropped: int) -> Overload | None:
        for _ in range(round(seconds * 2)):
            self.now += 0.5
            self.counts = {
                name: SlotCounts(taken=count.taken + taken, dropped=count.dropped + dropped)
                for name, count in self.counts.items()
            }
            self.meter.observe(self.now, self.counts)
        return self.meter.overload


def test_lost_frames_over_a_whole_window_are_an_overload_with_its_rates() -> None:
    run = Run("a", "b")
    assert run.phase(WINDOW_S, taken=3, dropped=2) is None, "not yet a whole window"
    found = run.phase(1, taken=3, dropped=2)
    assert found is not None
    assert (found.looked_at, found.due) == (12.0, 20.0)


def test_all_looked_at_is_none_and_an_overload_that_ends_is_over() -> None:
    run = Run("a")
    assert run.phase(2 * WINDOW_S, taken=5, dropped=0) is None
    assert run.phase(2 * WINDOW_S, taken=4, dropped=1) is not None
    assert run.phase(WINDOW_S / 2 + 1, taken=5, dropped=0) is None


def test_one_burst_is_no_overload() -> None:
    run = Run("a")
    run.phase(WINDOW_S, taken=5, dropped=0)
    assert run.phase(1, taken=0, dropped=100) is None
    for _ in range(round(WINDOW_S)):
        assert run.phase(1, taken=5, dropped=0) is None


def test_a_camera_that_comes_goes_or_starts_over_brings_no_wrong_rate() -> None:
    run = Run("a")
    run.phase(WINDOW_S + 1, taken=5, dropped=0)
    run.counts["late"] = SlotCounts(taken=5, dropped=5000)
    assert run.phase(WINDOW_S + 1, taken=5, dropped=0) is None
    run.counts["late"] = SlotCounts()
    assert run.phase(WINDOW_S + 1, taken=5, dropped=0) is None
    del run.counts["late"]
    assert run.phase(WINDOW_S + 1, taken=5, dropped=0) is None


def test_still_cameras_and_a_forgotten_past_are_no_overload() -> None:
    run = Run("a")
    assert run.phase(2 * WINDOW_S, taken=0, dropped=0) is None
    run.phase(2 * WINDOW_S, taken=1, dropped=4)
    run.meter.forget()
    assert run.meter.overload is None
    assert run.phase(WINDOW_S, taken=1, dropped=4) is None
