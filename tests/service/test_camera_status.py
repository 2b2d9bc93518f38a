from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from detector.service.camera_status import DARK_S, CameraStatusPublisher
from support.service import CaptureFigures, captured
from support.visits import StillClock


@dataclass
class Watched:
    clock: StillClock = field(default_factory=lambda: StillClock(mono=1000.0))
    cameras: CaptureFigures = field(default_factory=CaptureFigures)
    published: list[tuple[str, str]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.status = CameraStatusPublisher(
            cameras=self.cameras.stats,
            publish=lambda camera, word: self.published.append((camera, word)),
            end_visits=self.ended.append,
            clock=self.clock,
        )


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_each_change_is_published_once(watched: Watched) -> None:
    for failing in (False, False, True, False):
        watched.status.update(model_failing=failing)
    assert watched.published == [("porch", "online"), ("porch", "degraded"), ("porch", "online")]


def test_offline_is_offline_whatever_the_model_does(watched: Watched) -> None:
    watched.cameras.by_name["porch"] = captured("connecting")
    watched.status.update(model_failing=True)
    assert watched.published == [("porch", "offline")]


def test_the_visits_of_a_dark_camera_end_once(watched: Watched) -> None:
    watched.cameras.by_name["porch"] = captured("offline", last_frame_mono=watched.clock.now_mono)
    watched.status.update(model_failing=False)
    assert watched.ended == [], "a hiccup ends no visit"
    watched.clock.now_mono += DARK_S + 0.1
    for _ in range(3):
        watched.status.update(model_failing=False)
    assert watched.ended == ["porch"]
    watched.cameras.by_name["porch"] = captured("online")
    watched.status.update(model_failing=False)
    watched.cameras.by_name["porch"] = captured("offline")
    watched.status.update(model_failing=False)
    assert watched.ended == ["porch", "porch"]


def test_a_camera_that_never_gave_a_frame_has_no_visits(watched: Watched) -> None:
    watched.cameras.by_name["porch"] = captured("offline", last_frame_mono=None)
    watched.status.update(model_failing=False)
    assert watched.ended == []


def test_a_camera_that_comes_back_after_its_removal_is_published_again(watched: Watched) -> None:
    watched.status.update(model_failing=False)
    watched.status.forget("porch")
    watched.status.update(model_failing=False)
    assert watched.published == [("porch", "online")] * 2


def test_night_08_a_camera_whose_view_is_gone_is_degraded() -> None:
    made, tampered = Watched(), {"porch"}
    status = CameraStatusPublisher(
        cameras=made.cameras.stats,
        publish=lambda camera, word: made.published.append((camera, word)),
        end_visits=made.ended.append,
        clock=made.clock,
        is_tampered=tampered.__contains__,
    )
    status.update(model_failing=False)
    tampered.clear()
    status.update(model_failing=False)
    assert made.published == [("porch", "degraded"), ("porch", "online")]
