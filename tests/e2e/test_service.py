"""The real service as a process, with a real broker, real cameras and a real model."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from support.clip_server import ClipServer
from support.mosquitto import Heard, Mosquitto, RecordingSubscriber
from support.program import Program
from support.rtsp_server import why_not
from support.schemas import load_schema


def base(model: Path, clip: Path, **camera: Any) -> dict[str, Any]:
    return {
        "device": {"id": "test"},
        "model": {"name": str(model)},
        "cameras": {"door": {"source": str(clip), "loop": True, "alert": {"cooldown_s": 0}, **camera}},
    }


def alerts(heard: list[Heard]) -> list[dict[str, Any]]:
    return [json.loads(h.payload) for h in heard if h.topic == "detector/alerts"]


def test_an_alert_reaches_a_subscriber_with_its_picture_history_and_states(
    tmp_path: Path, model: Path, clip: Path, broker: Mosquitto
) -> None:
    subscriber = RecordingSubscriber(broker.port)
    config = {**base(model, clip), "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"}}
    with Program(tmp_path / "run", config) as program:
        program.wait_ready()
        heard = subscriber.wait_for(
            lambda h: alerts(h) and any(b'"end"' in m.payload for m in h if m.topic == "detector/events")
        )
        alert = alerts(heard)[0]
        jsonschema.validate(alert, load_schema("alert"))
        for message in heard:
            if message.topic == "detector/events":
                jsonschema.validate(json.loads(message.payload), load_schema("event"))
        assert alert["latency_ms"]["total"] < 10_000
        topics = {h.topic for h in heard}
        assert {"detector/door/person", "detector/door/motion", "detector/door/person/snapshot"} <= topics
        assert subscriber.last("detector/available") == b"online"
        assert subscriber.last("detector/door/status") == b"online"
        assert subscriber.last("detector/alarm/state") == b"triggered"
        jpeg = subscriber.last("detector/door/person/snapshot")
        assert jpeg is not None
        assert jpeg.startswith(b"\xff\xd8")
        code, picture = program.get(alert["snapshot"])
        assert (code, picture[:2]) == (200, b"\xff\xd8")
        announced = json.loads(subscriber.last("homeassistant/device/test/config") or b"{}")
        assert announced["device"]["name"] == "test"
        assert "configuration_url" not in announced["device"], "on another machine it would lead nowhere (H9)"
        key = tmp_path / "run" / "data" / "link-key"
        assert key.stat().st_mode & 0o777 == 0o600
        assert program.get(alert["snapshot_url"]) == (200, picture), "by the signed address, which needs no token"
        assert program.get(alert["snapshot_url"][:-1])[0] == 403
        code, event = program.get(f"/api/events/{alert['event_id']}")
        assert (code, json.loads(event)["camera"]) == (200, "door")
        assert program.get("/healthz")[0] == 200
        slo = json.loads(subscriber.last("detector/slo") or b"{}")
        assert slo["alerts"] >= 1, "published with each acknowledged alert"
        assert 0 <= slo["within"] <= slo["alerts"]
        metrics = program.get("/metrics")[1].decode()
        for stage in ("capture_to_confirm", "confirm_to_publish", "publish_to_acknowledge", "total"):
            found = re.search(rf'^detector_alert_latency_seconds_count{{stage="{stage}"}} (\d+)', metrics, re.MULTILINE)
            assert found, stage
            assert int(found[1]) >= 1
        assert program.stop() == 0
    subscriber.wait_for(lambda _: subscriber.last("detector/available") == b"offline")
    subscriber.close()
    assert "Traceback" not in program.log()


def test_disarmed_nobody_is_alerted_and_the_state_outlives_a_restart(
    tmp_path: Path, model: Path, clip: Path, broker: Mosquitto
) -> None:
    subscriber = RecordingSubscriber(broker.port)
    config = {**base(model, clip), "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"}}
    with Program(tmp_path / "run", config) as program:
        program.wait_ready()
        subscriber.publish("detector/alarm/set", "DISARM")
        subscriber.wait_for(lambda _: subscriber.last("detector/alarm/state") == b"disarmed")
        known = len(alerts(subscriber.heard))
        subscriber.wait_for(lambda h: sum(b'"new"' in m.payload for m in h if m.topic == "detector/events") > known + 1)
        assert len(alerts(subscriber.heard)) == known
        program.kill()  # as a power cut would
        program.start()
        program.wait_ready()
        assert program.status()["alarm"]["state"] == "disarmed"
        subscriber.publish("detector/alarm/set", "ARM_HOME")
        subscriber.wait_for(lambda h: len(alerts(h)) > known)
        subscriber.publish("detector/alarm/set", "nonsense")
        subscriber.publish("detector/door/detect/set", "OFF")
        subscriber.wait_for(lambda _: subscriber.last("detector/door/detect/state") == b"OFF")
        assert program.stop() == 0
    subscriber.close()


def test_alerts_of_an_outage_and_a_kill_are_delivered_later(
    tmp_path: Path, model: Path, clip: Path, broker: Mosquitto
) -> None:
    broker.kill()
    config = {**base(model, clip), "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"}}
    with Program(tmp_path / "run", config) as program:
        program.wait_ready()
        program.wait_for(lambda: program.status()["outbox"]["pending_alerts"] >= 2, "alerts on disk")
        waiting = program.status()["outbox"]["pending_alerts"]
        assert program.status()["state"] == "degraded"
        program.kill()
        broker.start()
        subscriber = RecordingSubscriber(broker.port, "detector/alerts")
        program.start()
        heard = subscriber.wait_for(lambda h: len({a["id"] for a in alerts(h)}) >= waiting)
        assert all(a["replayed"] for a in alerts(heard)[:waiting])
        seqs = list(dict.fromkeys(a["seq"] for a in alerts(heard)))
        assert seqs == sorted(seqs)
        program.wait_for(lambda: program.status()["outbox"]["pending_alerts"] == 0, "an empty outbox")
        assert program.stop() == 0
    subscriber.close()


@pytest.mark.skipif(why_not() is not None, reason=f"needs a real RTSP server: {why_not()}")
def test_a_camera_that_dies_is_told_of_and_comes_back_while_the_other_goes_on(
    tmp_path: Path, model: Path, clip: Path, broker: Mosquitto
) -> None:
    subscriber = RecordingSubscriber(broker.port)
    with ClipServer(clip, credentials=("cam", "topsecret")) as camera:
        config = {**base(model, clip), "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"}}
        config["cameras"]["gate"] = {"source": camera.url, "timeout_s": 2}
        with Program(tmp_path / "run", config) as program:
            program.wait_ready()
            subscriber.wait_for(lambda _: subscriber.last("detector/gate/status") == b"online")
            camera.kill()
            subscriber.wait_for(lambda _: subscriber.last("detector/gate/status") == b"offline")
            before = program.status()["cameras"]["door"]["frames"]
            assert program.get("/healthz")[0] == 200, "a dark camera is no reason to restart"
            assert any("gate" in problem for problem in program.status()["problems"])
            camera.start()
            subscriber.wait_for(lambda _: subscriber.last("detector/gate/status") == b"online")
            assert program.status()["cameras"]["door"]["frames"] > before
            assert program.stop() == 0
        everything = program.log() + repr([h.payload for h in subscriber.heard])
        assert "topsecret" not in everything
    subscriber.close()


def test_a_new_config_applies_without_losing_frames_of_untouched_cameras(
    tmp_path: Path, model: Path, clip: Path
) -> None:
    config = {**base(model, clip), "mqtt": {"embedded": {"port": 0}}}
    with Program(tmp_path / "run", config) as program:
        program.wait_ready()
        document = json.loads(program.get("/api/config")[1])
        bad = json.loads(json.dumps(document))
        bad["cameras"]["door"]["alert"]["min_scor"] = 1
        tag = {"If-Match": _etag(program)}
        code, answer = program.get("/api/config", method="PUT", body=bad, headers=tag)
        assert (code, json.loads(answer)["key"]) == (422, "cameras.door.alert.min_scor")
        document["cameras"]["second"] = {"source": str(clip), "loop": True}
        before = program.status()["cameras"]["door"]
        assert program.get("/api/config", method="PUT", body=document, headers={"If-Match": '"old"'})[0] == 412
        code, answer = program.get("/api/config", method="PUT", body=document, headers=tag)
        assert code == 200, answer
        program.wait_for(lambda: program.status()["cameras"]["second"]["state"] == "online", "the second camera")
        program.wait_for(lambda: program.status()["cameras"]["door"]["frames"] > before["frames"], "the next frame")
        after = program.status()["cameras"]["door"]
        assert after["reconnects"] == before["reconnects"]
        assert "second" in program.path.read_text(encoding="utf-8")
        del document["cameras"]["second"]
        assert program.get("/api/config", method="PUT", body=document, headers={"If-Match": _etag(program)})[0] == 200
        assert list(program.status()["cameras"]) == ["door"]
        assert program.stop() == 0


def _etag(program: Program) -> str:
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{program.port}/api/config", timeout=10) as answer:
        return str(answer.headers["ETag"])


def test_systemd_is_told_ready_fed_and_stopping(tmp_path: Path, model: Path, clip: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        env = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"}
        with Program(tmp_path / "run", {**base(model, clip), "mqtt": {"embedded": {"port": 0}}}, env=env) as program:
            said: list[bytes] = []
            while said.count(b"WATCHDOG=1") < 3:
                said.append(systemd.recv(4096))
            assert said[0] == b"READY=1"
            assert program.process is not None
            program.process.send_signal(signal.SIGINT)
            while said[-1] != b"STOPPING=1":
                said.append(systemd.recv(4096))
            assert program.process.wait(30) == 0


def test_two_services_do_not_share_a_data_dir(tmp_path: Path, model: Path, clip: Path) -> None:
    config = {**base(model, clip), "mqtt": {"embedded": {"port": 0}}, "data_dir": str(tmp_path / "data")}
    with Program(tmp_path / "one", config) as first:
        first.wait_ready()
        second = Program(tmp_path / "two", config)
        second.start()
        assert second.process is not None
        assert second.process.wait(60) == 1
        assert re.search(rf"data_dir .* is in use by process {first.process and first.process.pid}", second.log())
        assert first.stop() == 0


def test_h3_a_new_host_name_is_no_new_device(tmp_path: Path, model: Path) -> None:
    unshare = ["unshare", "-ru", "sh", "-c"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*unshare, "hostname x"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine lets no user make a namespace with a host name of its own (unshare -ru)")
    config = tmp_path / "detector.yaml"
    text = (
        f"cameras: {{a: {{source: none.mp4}}}}\nmodel: {{name: {model}, threads: 1}}\ndata_dir: {tmp_path / 'data'}\n"
    )
    config.write_text(f"{text}mqtt: {{embedded: {{port: 0}}}}\napi: {{enabled: false}}\n", encoding="utf-8")
    for host in ("first-host", "second-host"):
        command = f'hostname {host}; exec "{sys.executable}" -m detector run -c {config} --duration 0.5'
        done = subprocess.run([*unshare, command], check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "data" / "device-id").read_text(encoding="utf-8") == "first-host\n"
