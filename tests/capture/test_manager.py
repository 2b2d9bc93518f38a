from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from detector.capture.latest_frames import LatestFrames
from detector.capture.manager import Cameras
from detector.config.schema import Camera
from detector.core.clock import SYSTEM_CLOCK
from support.clips import clip
from support.fed_camera import FedCamera, footage
from support.media_clock import MediaClock
from support.mosquitto import wait_until


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return clip(tmp_path / "clip.mp4")


def camera(source: Path, **settings: object) -> Camera:
    return Camera.model_validate({"source": str(source), "loop": True, **settings})


def test_cameras_start_change_and_stop_as_the_config_says(video: Path) -> None:
    slots = LatestFrames(clock=SYSTEM_CLOCK)
    told: list[tuple[str, str]] = []
    cameras = Cameras(frames=slots, clock=SYSTEM_CLOCK, on_state=lambda name, state, _: told.append((name, state)))
    before = threading.active_count()
    cameras.apply({"a": camera(video), "b": camera(video), "off": camera(video, enabled=False)})
    wait_until(lambda: all(s.frames > 2 for s in cameras.stats().values()) and len(cameras.stats()) == 2)
    loops = {name: entry.loop for name, entry in cameras.running().items()}
    # Another rate leaves the source open; another source does not.
    cameras.apply({"a": camera(video, detect_fps=3), "b": camera(video, timeout_s=9)})
    assert cameras.running()["a"].loop is loops["a"]
    assert cameras.running()["b"].loop is not loops["b"]
    assert cameras.running()["a"].settings.detect_fps == 3
    cameras.apply({"b": camera(video, timeout_s=9)})
    assert list(cameras.stats()) == ["b"]
    cameras.stop()
    assert cameras.stats() == {}
    assert threading.active_count() == before
    assert ("a", "online") in told


def test_an_rtsp_camera_s_pictures_are_dated_by_the_clock_that_was_given() -> None:
    clock = MediaClock(1_796_162_400.0)
    picture = footage([np.zeros((64, 96, 3), np.uint8)], fps=5)
    slots = LatestFrames(clock=clock)
    cameras = Cameras(frames=slots, clock=clock, on_state=lambda *_: None)
    with FedCamera(picture.sdp) as source:
        cameras.apply({"door": Camera.model_validate({"source": source.url, "timeout_s": 120})})
        with clock.running():
            wait_until(lambda: source.connected, "the connection")
        now = clock.mono()  # it stands from here on
        source.send(picture.pictures[0], now)
        wait_until(lambda: cameras.stats()["door"].frames == 1, "the picture")
        frame = slots.take(0.0)
        source.away()  # a read ends with its connection
        with clock.running():
            cameras.stop()
    assert frame is not None
    assert frame.captured_mono == now
    assert frame.captured_wall == pytest.approx(clock.wall() - (clock.mono() - now), abs=1e-3)
