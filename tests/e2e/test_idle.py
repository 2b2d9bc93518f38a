"""An idle camera in the real service: only its key frames are decoded, until something moves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.drawn import Coded, code
from bench.rtsp import BenchCamera
from detector.core.types import Pixels
from support.program import Program

pytestmark = pytest.mark.slow

SIZE, FPS = (320, 240), 10
STILL_S, MOVING_S = 3, 3  # a key frame every two seconds: the one at 4 s shows motion


def pictures() -> Iterator[Pixels]:
    scene = np.random.default_rng(0).integers(80, 120, (SIZE[1], SIZE[0], 3), np.uint8)
    for number in range((STILL_S + MOVING_S) * FPS):
        picture = scene.copy()
        step = number - STILL_S * FPS
        if step >= 0:
            picture[100:160, 8 * step : 8 * step + 50] = 255
        yield picture


def test_an_idle_camera_is_decoded_by_its_key_frames_until_something_moves(tmp_path: Path, model: Path) -> None:
    coded = Coded(units=tuple(code(pictures(), FPS, SIZE)), fps=FPS, size=SIZE)
    with BenchCamera(coded, tmp_path / "released") as camera:
        motion = {"idle_decode": "keyframes", "idle_after_s": 1}
        config = {
            "model": {"name": str(model)},
            "cameras": {"yard": {"source": camera.url, "motion": motion}},
            "mqtt": {"embedded": {"port": 0}},
        }
        with Program(tmp_path / "run", config) as program:

            def yard() -> dict[str, Any]:
                status: dict[str, Any] = program.status()["cameras"]["yard"]
                return status

            program.wait_ready()
            program.wait_for(lambda: yard()["keyframes_only"], "key frames alone")
            program.wait_for(lambda: yard()["moving"] and not yard()["keyframes_only"], "all of them again")
            program.wait_for(lambda: yard()["decode_skipped"], "pictures left out")
            status, metrics = yard(), program.get("/metrics")[1].decode()
            assert program.stop() == 0
        assert status["frames"] <= status["decoded"]
        assert status["decoded"] < len(camera.released())
    assert status["damaged"] == 0
    for name in ("decoded", "skipped", "damaged"):
        assert re.search(rf'^detector_camera_pictures_{name}_total{{camera="yard"}} \d', metrics, re.MULTILINE)
    assert 'detector_camera_keyframes_only{camera="yard"}' in metrics
