"""The night that the tests here look at: it is simulated once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from support.fed_camera import FedCamera
from support.media_clock import MediaClock
from support.mosquitto import Mosquitto, RecordingSubscriber
from support.night_scenes import FPS, night_scenes
from support.simulated_night import EVENING, STILL_S, SURE, SimulatedNight, happen, night_document
from support.simulation import ServiceOnMediaTime
from support.timeline import table


@pytest.fixture(scope="module")
def model(model_file: Any, shared: Path) -> Path:
    path: Path = model_file("yolox_tiny_humanart")
    return path


@pytest.fixture(scope="module")
def detector(model: Path) -> PersonDetector:
    return load_detector(path=model, name="detector", threads=1, score_floor=SURE)


@pytest.fixture(scope="module")
def judge(model: Path) -> PersonDetector:
    return load_detector(path=model, name="judge", threads=1, score_floor=0.2)


@pytest.fixture(scope="module")
def night(
    tmp_path_factory: pytest.TempPathFactory, shared: Path, model: Path, detector: PersonDetector
) -> Iterator[SimulatedNight]:
    folder = tmp_path_factory.mktemp("night")
    broker = Mosquitto(folder / "mosquitto", persistent=True, verbose=False, options=["max_queued_messages 0"])
    scenes = night_scenes(shared, detector, party_s=15.0)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as closing:
        patch.setattr("detector.service.service.CHECK_S", 0.02)  # the alarm looks at the clock twice a second
        patch.setattr("detector.service.service.START_S", 120.0)  # real time: a busy machine takes longer
        broker.start()
        closing.callback(broker.kill)
        phones = RecordingSubscriber(broker.port, "nothing", durable="phones")
        closing.callback(phones.close)
        for person in ("anna", "ben"):
            phones.publish(f"phones/{person}", "not_home", retain=True)
        subscriber = RecordingSubscriber(broker.port, "detector/#", durable="home")
        closing.callback(subscriber.close)
        door, garden = (closing.enter_context(FedCamera(one.sdp)) for one in (scenes.door, scenes.garden))
        service = ServiceOnMediaTime(
            night_document(folder / "data", model, door, garden, broker),
            clock=MediaClock(EVENING),
            cameras={"door": door, "garden": garden},
            still={"door": scenes.door, "garden": scenes.garden},
            still_every_s=STILL_S,
            fps=FPS,
        )
        closing.callback(service.stop)
        result = SimulatedNight(
            service=service, scenes=scenes, door=door, broker=broker, phones=phones, subscriber=subscriber
        )
        service.start()
        happen(result)
        print(f"\n{table(result.rows)}\n\n{service.pictures} pictures")
        yield result
