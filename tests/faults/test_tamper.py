"""A lens that is covered while the real program runs (row 8): degraded and told within 10 s, and no person seen."""

from __future__ import annotations

import json
import time
from pathlib import Path

import av
import numpy as np
import pytest

from support import sample
from support.mosquitto import Mosquitto, RecordingSubscriber
from support.program import Program
from support.tamper_scenes import ATTACKS, HEIGHT, WIDTH, expose, yard

pytestmark = [pytest.mark.fault, pytest.mark.alone, pytest.mark.timeout(180)]
FPS, CALM_S, COVERED_S = 5, 20, 25


def clip(path: Path, attack: str) -> Path:
    """CALM_S of a yard, then COVERED_S of the attack, as a camera's H.264."""
    scene, (_, show) = yard(), ATTACKS[attack]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range((CALM_S + COVERED_S) * FPS):
            luma = expose(scene, seed=number) if number < CALM_S * FPS else show(scene, number, False)
            picture = np.repeat(luma[:, :, None], 3, 2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("attack", ["hand", "noise", "defocused"])
def test_night_08_the_program_tells_within_10_s(tmp_path: Path, attack: str) -> None:
    sample.model()
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    camera = {"source": str(clip(tmp_path / "yard.mp4", attack)), "tamper": {"enabled": True}}
    settings = {"cameras": {"yard": camera}, "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"}}
    heard = RecordingSubscriber(broker.port, "detector/#")
    with Program(tmp_path / "run", settings) as program:
        program.wait_ready()
        begun = time.monotonic()
        program.wait_for(lambda: heard.last("detector/tamper") is not None, "the tamper message", timeout=CALM_S + 20)
        took = time.monotonic() - begun
        program.wait_for(lambda: program.status()["cameras"]["yard"]["state"] == "degraded", timeout=5)
        program.wait_for(lambda: heard.last("detector/yard/status") == b"degraded", "the camera's status", timeout=5)
        status = program.status()
        assert program.stop() == 0
    messages = list(heard.heard)
    heard.close()
    broker.kill()
    assert took <= CALM_S + 10
    (told,) = [json.loads(m.payload) for m in messages if m.topic == "detector/tamper"]
    assert (told["camera"], told["reason"]) == ("yard", ATTACKS[attack][0])
    assert any(problem.startswith("camera yard: its ") for problem in status["problems"])
    assert [m.payload for m in messages if m.topic == "detector/yard/status"][:2] == [b"online", b"degraded"]
    assert not [m for m in messages if m.topic in ("detector/alerts", "detector/events")]
