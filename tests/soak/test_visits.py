"""The one-by-one clip at its own pace through the whole service and a real broker: six visits, six alerts."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from support.mosquitto import Mosquitto, RecordingSubscriber
from support.program import Program
from support.schemas import load_schema

pytestmark = [pytest.mark.soak, pytest.mark.timeout(400)]


def test_six_people_are_six_events_and_six_alerts_over_mqtt(tmp_path: Path, shared: Path) -> None:
    clip = shared / "media" / "video" / "one-by-one-person-detection.mp4"
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    subscriber = RecordingSubscriber(broker.port, "detector/alerts", "detector/events")
    config = {
        "model": {"name": str(shared / "models" / "yolox_tiny_humanart.onnx")},
        "cameras": {"door": {"source": str(clip), "alert": {"cooldown_s": 0}}},
        "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"},
    }
    with Program(tmp_path / "run", config) as program:
        program.wait_ready()
        program.wait_for(
            lambda: program.status()["cameras"]["door"]["error"] == "end of file", "the end of the clip", timeout=200
        )
        program.wait_for(lambda: program.status()["outbox"]["pending_events"] == 0, "an empty outbox")
        subscriber.wait_for(lambda h: sum(b'"type":"end"' in m.payload for m in h) == 6)
        assert program.stop() == 0
    alerts = [json.loads(h.payload) for h in subscriber.heard if h.topic == "detector/alerts"]
    events = [json.loads(h.payload) for h in subscriber.heard if h.topic == "detector/events"]
    subscriber.close()
    broker.kill()
    for alert in alerts:
        jsonschema.validate(alert, load_schema("alert"))
    assert len(alerts) == 6
    assert sorted(a["event_id"] for a in alerts) == sorted(e["after"]["id"] for e in events if e["type"] == "new")
    assert [a["seq"] for a in alerts] == [1, 2, 3, 4, 5, 6]
    assert not any(a["replayed"] for a in alerts)
