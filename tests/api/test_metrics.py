from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from detector.api.control import Document
from detector.api.metrics import exposition
from support.api import RunningApi, StartApi
from support.control import MemoryControl, camera_status
from support.promtool import promtool

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(status: Document) -> Samples:
    families = text_string_to_metric_families(exposition(status).decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((f"detector_{name}", tuple(sorted(labels.items()))))


def test_the_route_speaks_prometheus(free: RunningApi) -> None:
    answer = free.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "detector_up 1.0" in answer.text


def test_figures_come_in_base_units() -> None:
    control = MemoryControl("porch")
    control.overrides = {"outbox": {"pending_alerts": 3, "pending_events": 4, "oldest_s": 9.5}}
    found = samples(control.status())
    assert value(found, "camera_up", camera="porch") == 1
    assert value(found, "camera_frames_per_second", camera="porch") == 14.9
    assert value(found, "camera_frame_age_seconds", camera="porch") == 0.06
    assert value(found, "camera_frames_total", camera="porch") == 52110
    assert value(found, "camera_frames_dropped_total", camera="porch") == 12
    assert value(found, "camera_latency_seconds", camera="porch", quantile="0.99") == 0.088
    assert value(found, "inference_seconds", quantile="0.5") == pytest.approx(0.0264)
    assert value(found, "outbox_pending_alerts") == 3
    assert value(found, "outbox_oldest_seconds") == 9.5
    assert value(found, "mqtt_connected") == 1
    assert value(found, "alarm_state", state="armed_away") == 1
    assert value(found, "alarm_state", state="disarmed") == 0
    assert value(found, "resident_memory_bytes") == 312 * 2**20
    assert value(found, "cpu_usage_ratio") == 0.84
    assert value(found, "stage_up", stage="inference") == 1
    assert value(found, "model_up") == 1


def test_trouble_shows() -> None:
    control = MemoryControl("porch")
    control.cameras["porch"] = camera_status(state="offline", detect_enabled=False)
    control.overrides = {
        "state": "degraded",
        "broker": {"state": "offline", "address": None, "protocol": None, "error": "x"},
        "stages": {"capture": {"ok": False, "age_s": 31.0}},
    }
    control.alarm = "triggered"
    found = samples(control.status())
    assert value(found, "up") == 0
    assert value(found, "state", state="degraded") == 1
    assert value(found, "camera_up", camera="porch") == 0
    assert value(found, "camera_detect_enabled", camera="porch") == 0
    assert value(found, "mqtt_connected") == 0
    assert value(found, "stage_up", stage="capture") == 0
    assert value(found, "stage_age_seconds", stage="capture") == 31
    assert value(found, "alarm_state", state="triggered") == 1


def test_what_is_not_known_is_left_out_not_zero() -> None:
    control = MemoryControl("porch")
    unknown = dict.fromkeys(camera_status(), None) | {"state": "connecting", "latency_ms": {"p50": None, "p99": None}}
    control.cameras["porch"] = unknown
    control.overrides = {"system": {"temperature_c": None}, "stages": {}}
    found = samples(control.status())
    assert value(found, "camera_up", camera="porch") == 0
    assert value(found, "camera_frame_age_seconds", camera="porch") is None
    assert value(found, "temperature_celsius") is None
    assert value(found, "throttled") is None


def test_a_status_without_any_section_is_still_told() -> None:
    assert value(samples({"state": "starting"}), "state", state="starting") == 1


def test_names_follow_the_conventions() -> None:
    for family in text_string_to_metric_families(exposition(MemoryControl().status()).decode()):
        assert re.fullmatch(r"detector_[a-z0-9]+(_[a-z0-9]+)*", family.name)
        assert family.documentation
        assert not re.search(r"_(ms|mb|percent|count|s)$", family.name)
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        else:
            assert not family.name.endswith("_total")


def measured() -> MemoryControl:
    control = MemoryControl("porch")
    control.measured.frame(captured_mono=10.0, begun_mono=10.06, done_mono=10.062, infer_s=0.04)
    control.measured.alert({"capture_to_confirm": 70.0, "confirm_to_publish": 12.0, "total": 82.0}, 0.003)
    control.overrides = {"slo": {"goal_ms": 500.0, "window_s": 86400, "alerts": 4, "within": 3, "share": 0.75}}
    return control


def test_latencies_are_histograms_by_stage() -> None:
    control = measured()
    text = exposition(control.status(), latencies=control.latencies()).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for metric, stages in {
        "detector_frame_latency_seconds": {"wait": 0.02, "inference": 0.04, "rules": 0.002, "total": 0.062},
        "detector_alert_latency_seconds": {
            "capture_to_confirm": 0.07,
            "confirm_to_publish": 0.012,
            "publish_to_acknowledge": 0.003,
            "total": 0.082,
        },
    }.items():
        assert families[metric].type == "histogram"
        sums = {s.labels["stage"]: s.value for s in families[metric].samples if s.name.endswith("_sum")}
        assert sums == pytest.approx(stages)
        for stage, seconds in stages.items():
            buckets = [s for s in families[metric].samples if s.name.endswith("_bucket") and s.labels["stage"] == stage]
            assert [s.value for s in buckets] == [float(float(s.labels["le"]) >= seconds - 1e-9) for s in buckets]
            assert buckets[-1].labels["le"] == "+Inf"
    assert "detector_slo_alerts_within_goal_ratio 0.75" in text
    assert "detector_alert_latency_goal_seconds 0.5" in text


def test_the_route_has_them(window: StartApi) -> None:
    assert (
        'detector_alert_latency_seconds_count{stage="total"} 1.0'
        in window(control=measured()).client.get("/metrics").text
    )


def test_prometheus_own_checker_finds_no_fault() -> None:
    control = measured()
    said = promtool("check", "metrics", text=exposition(control.status(), latencies=control.latencies()).decode())
    assert not said.strip(), said
