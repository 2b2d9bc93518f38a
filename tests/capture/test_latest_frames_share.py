"""A share of every camera's rate, while heat or power allow no more."""

from __future__ import annotations

import numpy as np
import pytest

from detector.capture.latest_frames import LatestFrames
from detector.core.types import ArrayImage, Frame
from support.clocks import SetClock

PICTURE = ArrayImage(np.zeros((2, 2, 3), np.uint8))


def frame(camera: str, at: float) -> Frame:
    return Frame(camera=camera, seq=0, captured_mono=at, captured_wall=at, image=PICTURE)


def rates_of(slots: LatestFrames, clock: SetClock, cameras: dict[str, float], seconds: float) -> dict[str, float]:
    """Frames a second that are taken of each camera, which give 60 a second."""
    taken, begun = dict.fromkeys(cameras, 0), clock.now
    for step in range(round(seconds * 60)):
        clock.now = begun + step / 60
        for name in cameras:
            slots.put(frame(name, clock.now))
        while (got := slots.take(0.0)) is not None:
            taken[got.camera] += 1
    return {name: count / seconds for name, count in taken.items()}


def test_a_share_slows_every_camera_down_to_a_least_rate_and_goes_back() -> None:
    clock = SetClock(now=100.0)
    slots, cameras = LatestFrames(clock=clock), {"a": 20.0, "b": 5.0, "c": 1.0}
    for name, fps in cameras.items():
        slots.add(name, fps)
    slots.slow(0.5, least_fps=4.0)
    assert slots.share == 0.5
    assert rates_of(slots, clock, cameras, 20.0) == pytest.approx({"a": 10.0, "b": 4.0, "c": 1.0}, rel=0.06)
    slots.hurry("a", 2.0)
    slots.add("d", 10.0)  # one that comes later is slowed down too
    slots.remove("b")
    cameras = {"a": 20.0, "c": 1.0, "d": 10.0}
    assert rates_of(slots, clock, cameras, 20.0) == pytest.approx({"a": 20.0, "c": 1.0, "d": 5.0}, rel=0.06)
    slots.hurry("a", 1.0)
    slots.slow(1.0, least_fps=4.0)
    assert rates_of(slots, clock, cameras, 20.0) == pytest.approx(cameras, rel=0.06)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share must lie in"):
        LatestFrames().slow(share, least_fps=1.0)
