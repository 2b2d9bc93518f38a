"""The real program on a device that gets hot and cools down: its sensors are a folder laid out like /sys."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from support import scenes
from support.inference import WALKER, end_to_end_model
from support.mosquitto import RecordingSubscriber, free_port
from support.program import Program
from support.sysfs import thermal_zone, write_sysfs

pytestmark = pytest.mark.slow

COOL, HOT = 45_000, 97_000  # millidegrees; the zone's limit is 94 deg C


def heat(root: Path, milli: int) -> None:
    write_sysfs(root, thermal_zone(0, "cpu-thermal", milli, passive=99_000, critical=105_000))


def start(
    folder: Path, root: Path, *, port: int, model: dict[str, Any], power: dict[str, Any], fps: float = 10
) -> Program:
    clip = scenes.clip(folder / "walk.mp4", [*range(20, 200, 8)])
    door = {"source": str(clip), "loop": True, "detect_fps": fps, "motion": {"enabled": False}}
    mqtt = {"broker": "embedded", "embedded": {"port": port}, "stats_interval_s": 600}
    config = {"model": model, "cameras": {"door": door}, "mqtt": mqtt, "power": power}
    return Program(folder / "run", config, env={**os.environ, "DETECTOR_SYSFS": str(root)})


def rate(program: Program) -> float:
    fps: float = program.status()["cameras"]["door"]["detect_fps"]
    return fps


def test_heat_slows_detection_down_and_is_told_everywhere(tmp_path: Path) -> None:
    heat(root := tmp_path / "sys", COOL)
    path = end_to_end_model(tmp_path / "walker.onnx", [WALKER])
    model = {"name": str(path), "backend": "onnxruntime", "threads": 1, "probe": False}
    port = free_port()
    with start(tmp_path, root, port=port, model=model, power={}) as program:
        program.wait_for(lambda: rate(program) > 9.0, "the full rate")
        status = program.status()
        assert (status["governor"]["state"], status["system"]["throttled_reason"]) == ("full", None)
        assert status["system"]["temperature_c"] == 45.0
        subscriber = RecordingSubscriber(port, "detector/stats")
        heat(root, HOT)
        program.wait_for(lambda: program.status()["governor"]["level"] > 0, "a step")
        program.wait_for(lambda: rate(program) < 8.0, "a lower rate")
        # Long before the next regular message.
        heard = subscriber.wait_for(
            lambda heard: any(json.loads(each.payload)["system"]["throttled"] for each in heard), "throttled"
        )
        told = json.loads(heard[-1].payload)
        subscriber.close()
        status, metrics = program.status(), program.get("/metrics")[1].decode()
    assert told["system"]["throttled_reason"] == "heat: cpu-thermal at 97 °C, limit 94 °C"
    assert any("detection is reduced to 70% of detect_fps" in line for line in told["problems"]), told["problems"]
    assert status["state"] == "degraded"
    assert "detector_throttled 1.0" in metrics
    assert f"detector_reduction_level {status['governor']['level']}.0" in metrics
    assert "detection is reduced to 70% of detect_fps: heat" in program.log()


def test_without_sensors_it_says_so_and_changes_nothing(tmp_path: Path) -> None:
    (root := tmp_path / "sys").mkdir()
    path = end_to_end_model(tmp_path / "walker.onnx", [WALKER])
    model = {"name": str(path), "backend": "onnxruntime", "threads": 1, "probe": False}
    with start(tmp_path, root, port=free_port(), model=model, power={"budget_w": 5}) as program:
        program.wait_for(lambda: program.get("/readyz")[0] == 200 and program.status()["governor"]["note"], "a note")
        status = program.status()
    assert "power.budget_w is set, but there is no power sensor that can be read" in status["governor"]["note"]
    assert (status["governor"]["state"], status["system"]["throttled"]) == ("full", None)


@pytest.mark.fault
@pytest.mark.timeout(1500)
def test_a_smaller_model_stands_in_and_all_comes_back_when_it_is_cool(tmp_path: Path, model: Path) -> None:
    assert model.is_file()
    heat(root := tmp_path / "sys", COOL)
    # Few detections: on a busy machine load would take steps of its own.
    power = {"min_detect_fps": 1.6}
    with start(tmp_path, root, port=free_port(), model={}, power=power, fps=2) as program:
        program.wait_ready()
        full = program.status()["model"]
        heat(root, HOT)
        program.wait_for(lambda: program.status()["governor"]["detect_share"] == 0.8, "fewer detections first")
        assert program.status()["governor"]["model"] is None
        program.wait_for(lambda: program.status()["governor"]["model"], "a smaller model", timeout=400)
        reduced = program.status()["governor"]
        assert reduced["model"] == "yolox-tiny-person at 320x320", "its input first"
        assert reduced["detect_share"] == 0.8
        assert reduced["cost"] < 0.7
        heat(root, COOL)
        program.wait_for(lambda: program.status()["governor"]["level"] == 0, "the way back", timeout=400)
        # On a busy machine load may keep the smaller model a little longer.
        program.wait_for(lambda: program.status()["governor"]["state"] == "full", "the full model", timeout=400)
        program.wait_for(lambda: rate(program) > 1.0, "detection goes on")
        back = program.status()
        log = program.log()
    assert (back["governor"]["state"], back["governor"]["model"]) == ("full", None)
    assert back["system"]["throttled"] is False or back["system"]["throttled"] is None
    assert back["model"]["name"] == full["name"]
    assert "detection goes up to the full detect_fps" in log
    assert "Traceback" not in log
