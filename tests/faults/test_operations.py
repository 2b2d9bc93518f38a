"""The real service as an operator meets it: phones, schedules, the service level, metrics, a log of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from detector.service.presence import SETTLE_S
from support import sample
from support.mosquitto import Mosquitto, RecordingSubscriber
from support.program import Program
from support.promtool import promtool

pytestmark = pytest.mark.fault


def document(subscriber: RecordingSubscriber, topic: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(subscriber.last(topic) or b"{}")
    return found


def test_phones_service_level_metrics_and_json_log(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    subscriber = RecordingSubscriber(broker.port, "detector/#")
    subscriber.publish("phones/alice", "not_home", retain=True)
    subscriber.publish("detector/alarm/set", "DISARM", retain=True)
    config = {
        "device": {"id": "test"},
        "model": {"name": str(sample.model())},
        "cameras": {"door": {"source": str(sample.clip()), "loop": True, "alert": {"cooldown_s": 0}}},
        "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}", "stats_interval_s": 1},
        "presence": {"topics": {"alice": {"topic": "phones/alice"}}},
        "schedules": {"always": {"start": "00:00", "end": "24:00"}},
        "slo": {"alert_goal_ms": 60_000},
        "log": {"format": "json"},
    }
    with Program(tmp_path / "run", config) as program:
        program.wait_ready()
        subscriber.wait_for(
            lambda _: document(subscriber, "detector/slo").get("alerts"), "an alert in the service level"
        )
        level = document(subscriber, "detector/slo")
        assert (level["share"], level["goal_ms"]) == (1.0, 60_000)
        assert program.status()["alarm"]["people"] == {"alice": {"where": "away", "confirmed": False}}
        assert document(subscriber, "detector/alarm/attributes")["because"] == "armed because nobody is at home"

        code, text = program.get("/metrics")
        assert code == 200
        families = {family.name: family for family in text_string_to_metric_families(text.decode())}
        for name in ("detector_frame_latency_seconds", "detector_alert_latency_seconds"):
            counts = {s.labels["stage"]: s.value for s in families[name].samples if s.name.endswith("_count")}
            assert min(counts.values()) > 0, counts

        program.wait_for(lambda: program.status()["uptime_s"] > SETTLE_S + 3)
        subscriber.publish("phones/alice", "home", retain=True)
        subscriber.wait_for(lambda _: document(subscriber, "detector/alarm/attributes").get("schedule") == "always")
        assert document(subscriber, "detector/alarm/attributes")["because"].startswith(
            "armed because of the schedule always until"
        )
        kept_from = program.status()["uptime_s"] + 2  # it is on the disk a moment after it was published
        program.wait_for(lambda: program.status()["uptime_s"] > kept_from)
        program.kill()  # as a power cut would
        program.start()
        program.wait_ready()
        assert program.status()["slo"]["alerts"] >= level["alerts"]
        assert program.status()["alarm"]["schedule"] == "always"
        whys = [entry["why"] for entry in json.loads(program.get("/api/alarm/audit")[1])]
        assert any("retained 'DISARM' was ignored" in why for why in whys)
        assert any("the schedule always until" in why for why in whys)
        assert program.stop() == 0
    subscriber.close()
    broker.kill()
    for line in program.log().splitlines():
        assert {"time", "level", "logger", "message"} <= json.loads(line).keys(), line
    said = promtool("check", "metrics", text=text.decode())
    assert not said.strip(), said


def test_a_client_of_frigate_finds_what_it_asks_for(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    subscriber = RecordingSubscriber(broker.port, "frigate/#")
    zone = [[0, 0], [1, 0], [1, 1], [0, 1]]
    camera = {"source": str(sample.clip()), "loop": True, "alert": {"cooldown_s": 0}, "zones": {"road": zone}}
    config = {
        "device": {"id": "test"},
        "model": {"name": str(sample.model())},
        "cameras": {"door": camera},
        "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}", "topic_prefix": "frigate", "stats_interval_s": 1},
    }
    with Program(tmp_path / "run", config) as program:
        program.wait_ready()
        heard = subscriber.wait_for(
            lambda h: any(b'"type":"end"' in m.payload for m in h if m.topic == "frigate/reviews"), "a review's end"
        )
        reviews = [json.loads(m.payload) for m in heard if m.topic == "frigate/reviews"]
        assert reviews[-1]["after"]["severity"] == "alert"
        assert reviews[-1]["after"]["data"]["zones"] == ["road"]
        seen = {topic: {m.payload for m in heard if m.topic == f"frigate/{topic}"} for topic in (
            "door/person", "door/all", "road/person", "door/person/active", "door/review_status", "available"
        )}  # fmt: skip
        assert seen["door/all"] >= {b"0", b"1"}
        assert seen["road/person"] >= {b"0", b"1"}
        assert seen["door/review_status"] >= {b"NONE", b"ALERT"}
        assert b"online" in seen["available"]
        stats = document(subscriber, "frigate/stats")
        assert stats["cameras"]["door"]["camera_fps"] > 0
        assert stats["detectors"]["detector"]["inference_speed"] > 0
        assert stats["outbox"]["pending_alerts"] >= 0, "and this project's own figures"

        code, text = program.get("/frigate/api/config")
        config_seen = json.loads(text)
        assert (code, config_seen["mqtt"]["topic_prefix"]) == (200, "frigate")
        assert config_seen["cameras"]["door"]["detect"]["width"] > 0
        (newest, *_) = json.loads(program.get("/frigate/api/events?has_snapshot=1&limit=1")[1])
        assert newest["zones"] == ["road"]
        assert program.get(f"/frigate/api/events/{newest['id']}/snapshot.jpg")[1][:2] == b"\xff\xd8"
        assert program.get("/frigate/api/door/latest.jpg?h=120")[1][:2] == b"\xff\xd8"
        assert program.stop() == 0
    subscriber.close()
    broker.kill()
    assert "Traceback" not in program.log()
