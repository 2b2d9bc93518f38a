"""The real service in Frigate's place: every topic of docs/frigate.md with a real broker, and none of them afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from support.mosquitto import Heard, Mosquitto, RecordingSubscriber, wait_until
from support.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
GARDEN = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]


def config(model: Path, clip: Path, port: int, camera: str, *, prefix: str = "frigate") -> dict[str, Any]:
    source = {"source": str(clip), "loop": True, "zones": {f"{camera}-garden": GARDEN}, "alert": {"cooldown_s": 0}}
    return {
        "device": {"id": "test"},
        "model": {"name": str(model)},
        "cameras": {camera: source},
        "mqtt": {"broker": f"mqtt://127.0.0.1:{port}", "topic_prefix": prefix, "stats_interval_s": 1},
    }


def retained(port: int) -> dict[str, bytes]:
    """What the broker keeps."""
    listener, marker = RecordingSubscriber(port, "#"), RecordingSubscriber(port, "nothing")
    marker.publish("marker", b"now")
    heard = listener.wait_for(lambda h: any(m.topic == "marker" for m in h))
    listener.close()
    marker.close()
    return {m.topic: m.payload for m in heard if m.retained}


def told(heard: list[Heard]) -> set[str]:
    return {m.topic.removeprefix("frigate/") for m in heard}


def test_every_topic_is_published_and_every_command_answered(
    tmp_path: Path, model: Path, clip: Path, broker: Mosquitto
) -> None:
    person = {"person", "all", "person/active", "all/active"}
    wanted = {"available", "events", "reviews", "stats"}
    wanted |= {f"porch/{name}" for name in person} | {f"porch-garden/{name}" for name in person}
    wanted |= {"porch/review_status", "porch/person/snapshot", "porch/motion", "porch/detect/state"}
    wanted |= {f"porch/{name}/state" for name in ("motion", "recordings", "snapshots", "review_alerts")}
    subscriber = RecordingSubscriber(broker.port, "frigate/#")
    with Program(tmp_path / "run", config(model, clip, broker.port, "porch")) as program:
        program.wait_ready()
        subscriber.wait_for(lambda h: wanted <= told(h))
        for topic in ("events", "reviews"):
            first = json.loads(next(m.payload for m in subscriber.heard if m.topic == f"frigate/{topic}"))
            assert first["type"] == "new"
            assert first["after"]["camera"] == "porch"
        subscriber.publish("frigate/porch/notifications/suspend", b"3")
        subscriber.wait_for(lambda _: json.loads(subscriber.last("frigate/porch/snooze/state") or b"{}").get("snoozed"))
        subscriber.wait_for(
            lambda _: int(subscriber.last("frigate/porch/notifications/suspended") or 0) > 1_700_000_000
        )
        subscriber.publish("frigate/porch/snapshots/set", b"OFF")
        program.wait_for(
            lambda: program.status()["broker"]["commands_refused"] == 1, "the command that is not followed"
        )
        assert subscriber.last("frigate/porch/snapshots/state") == b"ON"
        uptime = program.status()["uptime_s"]
        subscriber.publish("frigate/restart", b"")
        program.wait_for(lambda: program.status()["uptime_s"] < uptime, "the restart")
    subscriber.close()


def test_h4_a_renamed_camera_and_another_prefix_leave_nothing_of_frigates_topics(
    tmp_path: Path, model: Path, clip: Path, broker: Mosquitto
) -> None:
    def once(camera: str, prefix: str, *topics: str) -> None:
        """Run until the broker keeps `topics`, and nothing of another name."""
        with Program(tmp_path / "run", config(model, clip, broker.port, camera, prefix=prefix)) as program:
            program.wait_ready()
            wait_until(lambda: {f"{prefix}/{topic}" for topic in topics} <= retained(broker.port).keys())
            wait_until(lambda: all(camera in topic for topic in of_cameras(retained(broker.port))))
            assert program.stop() == 0

    def of_cameras(topics: Iterable[str]) -> list[str]:
        return [topic for topic in topics if "porch" in topic or "door" in topic]

    once("porch", "frigate", "porch/status", "porch/review_status", "porch-garden/all")
    once("door", "frigate", "door/status", "door/review_status", "door-garden/all")
    once("door", "detector", "door/status")
    assert not [topic for topic in retained(broker.port) if topic.startswith("frigate/")]
