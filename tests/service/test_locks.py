"""The whole service in this process with watched locks, while everybody asks something of it."""

from __future__ import annotations

import itertools
import json
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from detector.service.service import Service
from support import scenes
from support.inference import WALKER, end_to_end_model
from support.lock_order import LockWatch, watched_locks
from support.mosquitto import RecordingSubscriber

BUSY_S = 5.0
WRITERS = {"outbox", "history"}


def _document(folder: Path) -> dict[str, Any]:
    clip = scenes.clip(folder / "walk.mp4", [*range(20, 200, 8), *[None] * 10])
    camera = {"source": str(clip), "loop": True, "alert": {"cooldown_s": 0}}
    return {
        "model": {
            "name": str(end_to_end_model(folder / "walker.onnx", [WALKER])),
            "backend": "onnxruntime",
            "threads": 1,
            "probe": False,  # it sees somebody in every picture
        },
        "cameras": {"a": camera, "b": camera},
        "mqtt": {"broker": "embedded", "embedded": {"port": 0}, "stats_interval_s": 1},
        "api": {"port": 0},
        "data_dir": str(folder / "data"),
    }


def _ask(url: str, *, method: str = "GET", body: object = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, method=method, data=data, headers={"Content-Type": "application/json", "If-Match": "*"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        content: bytes = answer.read()
    return content


def _be_busy(service: Service) -> None:
    assert service.page_url is not None
    assert service.broker_address is not None
    url = service.page_url.rstrip("/")
    operator = RecordingSubscriber(service.broker_address[1], "detector/#")
    config = json.loads(_ask(f"{url}/api/config"))
    deadline = time.monotonic() + BUSY_S
    for turn in itertools.count():
        if time.monotonic() > deadline:
            break
        operator.publish("detector/alarm/set", ("DISARM", "ARM_AWAY")[turn % 2])
        operator.publish("detector/b/detect/set", ("OFF", "ON")[turn % 2])
        operator.publish("homeassistant/status", "online")
        for path in ("/api/status", "/api/events?limit=5", "/api/cameras/a/latest.jpg", "/metrics"):
            _ask(url + path)
        if turn % 5 == 0:
            config["cameras"]["a"]["detect_fps"] = 8 + turn % 2
            _ask(f"{url}/api/config", method="PUT", body=config)
        time.sleep(0.1)
    operator.publish("detector/alarm/set", "ARM_AWAY")
    operator.wait_for(lambda heard: any(message.topic == "detector/alerts" for message in heard))
    operator.close()


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> LockWatch:
    folder = tmp_path_factory.mktemp("locks")
    with watched_locks() as watch:
        running = threading.Event()
        service = Service(document=_document(folder), on_running=lambda _service: running.set())
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(service.run()))
        thread.start()
        try:
            assert running.wait(30)
            watch.noting = True
            _be_busy(service)
            watch.noting = False
        finally:
            service.stop_event.set()
            thread.join(30)
    assert codes == [0]
    return watch


def test_locks_are_taken_in_one_order(watch: LockWatch) -> None:
    assert len(watch.made) >= 5, "it watched something"
    assert watch.cycles() == []


def test_a_lock_that_is_held_over_disk_or_model_makes_nobody_else_wait(watch: LockWatch) -> None:
    """A database has a lock of its own, which only the threads that write it take: `WRITERS`."""
    assert watch.under, "something was written meanwhile"
    waiting = {site: watch.users[site] - WRITERS for site in watch.under}
    assert {site: (names, watch.under[site]) for site, names in waiting.items() if names} == {}
