"""The status document as Prometheus text: base units, `_total` for counters, unknown figures left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from detector.core.types import AlarmState

from .control import Document, LatencyCounts

__all__ = ["CONTENT_TYPE", "exposition"]

# status key, metric, factor to the base unit, help
_Row = tuple[str, str, float, str]
_CAMERA_GAUGES: tuple[_Row, ...] = (
    ("fps", "camera_frames_per_second", 1, "Frames a second that arrive"),
    ("detect_fps", "camera_inferences_per_second", 1, "Inferences a second"),
    ("frame_age_s", "camera_frame_age_seconds", 1, "Age of the newest frame"),
    ("people", "camera_people", 1, "People in view"),
    ("moving", "camera_motion", 1, "1 while something moves"),
    ("keyframes_only", "camera_keyframes_only", 1, "1 while the camera is idle and only its key frames are decoded"),
    ("detect_enabled", "camera_detect_enabled", 1, "1 while detection is switched on"),
)
_CAMERA_COUNTERS: tuple[_Row, ...] = (
    ("frames", "camera_frames", 1, "Frames received"),
    ("detected", "camera_frames_detected", 1, "Frames that the model analysed"),
    ("dropped", "camera_frames_dropped", 1, "Frames replaced by a newer one before their turn"),
    ("skipped", "camera_frames_skipped", 1, "Frames without motion, not analysed"),
    ("close_ups", "camera_close_ups", 1, "Crops of small moving things that the model analysed"),
    ("decoded", "camera_pictures_decoded", 1, "Pictures decoded"),
    ("decode_skipped", "camera_pictures_skipped", 1, "Pictures left undecoded or too late, to keep up or while idle"),
    ("damaged", "camera_pictures_damaged", 1, "Pictures with lost packets, and stretches of stray bytes"),
    ("reconnects", "camera_reconnects", 1, "Reconnects"),
)
_OUTBOX: tuple[_Row, ...] = (
    ("pending_alerts", "outbox_pending_alerts", 1, "Alerts that the broker has not acknowledged"),
    ("pending_events", "outbox_pending_events", 1, "Events that the broker has not acknowledged"),
    ("oldest_s", "outbox_oldest_seconds", 1, "Age of the oldest waiting message"),
)
_SYSTEM: tuple[_Row, ...] = (
    ("temperature_c", "temperature_celsius", 1, "Hottest sensor"),
    ("power_w", "power_watts", 1, "Power drawn"),
    ("throttled", "throttled", 1, "1 while heat or power slows the device down"),
    ("rss_mb", "resident_memory_bytes", 2**20, "Resident memory of the service"),
    ("cpu_percent", "cpu_usage_ratio", 0.01, "CPU time a second, in cores"),
)

_GOVERNOR: tuple[_Row, ...] = (
    ("level", "reduction_level", 1, "Steps by which detection is reduced because of heat or power; 0: full"),
    ("detect_share", "detect_fps_ratio", 1, "Share of detect_fps that heat and power allow"),
    ("cost", "detection_cost_ratio", 1, "Cost of the model's runs, as a share of the full cost"),
)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (bool, int, float)) else None


def _family(kind: type[Metric], row: _Row, documents: Mapping[str, Mapping[str, Any]], label: str = "") -> Metric:
    """One metric over `documents`; with a label, one sample for each of their names."""
    key, name, factor, text = row
    family: Any = kind(f"detector_{name}", text, labels=[label] if label else None)  # type: ignore[call-arg]
    for owner, document in documents.items():
        value = _number(document.get(key))
        if value is not None:
            family.add_metric([owner] if label else [], value * factor)
    metric: Metric = family
    return metric


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"detector_{name}", text, value=value)


def _one_of(name: str, text: str, states: Iterable[str], now: Any) -> Metric:
    family = GaugeMetricFamily(f"detector_{name}", text, labels=["state"])
    for state in states:
        family.add_metric([state], float(state == now))
    return family


def _quantiles(name: str, text: str, documents: Mapping[str, Mapping[str, Any]], label: str = "") -> Metric:
    """A summary in seconds from `{"p50": ms, "p99": ms}` documents."""
    family = Metric(f"detector_{name}", text, "summary")
    for owner, quantiles in documents.items():
        for quantile, key in (("0.5", "p50"), ("0.99", "p99")):
            value = _number(quantiles.get(key))
            if value is not None:
                labels = {label: owner} if label else {}
                family.add_sample(f"detector_{name}", {**labels, "quantile": quantile}, value / 1000)
    return family


def _section(status: Document, name: str) -> dict[str, Any]:
    return status.get(name) or {}


def _cameras(cameras: dict[str, dict[str, Any]]) -> Iterator[Metric]:
    up = GaugeMetricFamily("detector_camera_up", "1 while the camera gives frames", labels=["camera"])
    for name, camera in cameras.items():
        up.add_metric([name], float(camera.get("state") in ("online", "degraded")))
    yield up
    for row in _CAMERA_GAUGES:
        yield _family(GaugeMetricFamily, row, cameras, "camera")
    for row in _CAMERA_COUNTERS:
        yield _family(CounterMetricFamily, row, cameras, "camera")
    latencies = {name: camera.get("latency_ms") or {} for name, camera in cameras.items()}
    yield _quantiles("camera_latency_seconds", "From capture to tracked detections", latencies, "camera")


_HISTOGRAMS = {
    "frame_latency_seconds": "A picture from its capture until its rules are done, by stage",
    "alert_latency_seconds": "An alert from the capture of its picture until the broker has acknowledged it, by stage; "
    "total ends when it is published",
}


def _bound(seconds: float) -> str:
    return "+Inf" if math.isinf(seconds) else str(float(seconds))


def _histograms(latencies: LatencyCounts) -> Iterator[Metric]:
    for name, stages in latencies.items():
        family = HistogramMetricFamily(f"detector_{name}", _HISTOGRAMS[name], labels=["stage"])
        for stage, counts in stages.items():
            buckets = [(_bound(bound), count) for bound, count in counts.buckets]
            family.add_metric([stage], buckets, counts.total_s)
        yield family


def _slo(slo: Document) -> Iterator[Metric]:
    rows: tuple[_Row, ...] = (
        ("goal_ms", "alert_latency_goal_seconds", 0.001, "The goal for an alert's total latency"),
        ("alerts", "slo_alerts", 1, "Alerts of the last day"),
        ("share", "slo_alerts_within_goal_ratio", 1, "Share of them within the goal"),
    )
    for row in rows:
        yield _family(GaugeMetricFamily, row, {"": slo})


class _StatusCollector(Collector):
    def __init__(self, status: Document, *, wrong_tokens: int, latencies: LatencyCounts) -> None:
        self._status, self._wrong_tokens, self._latencies = status, wrong_tokens, latencies

    def collect(self) -> Iterator[Metric]:
        status, model, broker = self._status, _section(self._status, "model"), _section(self._status, "broker")
        build = {"version": status.get("version"), "device": _section(status, "device").get("id")}
        build |= {key: model.get(key) for key in ("backend", "precision")} | {"model": model.get("name")}
        yield InfoMetricFamily("detector_build", "What runs here", {k: str(v) for k, v in build.items() if v})
        yield _gauge("up", "1 while every part works", float(status.get("state") == "ok"))
        yield _one_of("state", "The service's state", ("ok", "degraded", "starting"), status.get("state"))
        yield _family(GaugeMetricFamily, ("uptime_s", "uptime_seconds", 1, "Since the service started"), {"": status})
        stages = _section(status, "stages")
        yield _family(GaugeMetricFamily, ("ok", "stage_up", 1, "1 while the stage progresses"), stages, "stage")
        row = ("age_s", "stage_age_seconds", 1.0, "Since the stage's last sign of progress")
        yield _family(GaugeMetricFamily, row, stages, "stage")
        yield _gauge("model_up", "1 while the model is loaded and works", float(model.get("state") == "ready"))
        yield _quantiles("inference_seconds", "One model run", {"": model.get("infer_ms") or {}})
        yield from _cameras(_section(status, "cameras"))
        yield _gauge("mqtt_connected", "1 while connected to the broker", float(broker.get("state") == "connected"))
        yield CounterMetricFamily(
            "detector_mqtt_commands_refused",
            "Commands over MQTT that made no sense",
            value=_number(broker.get("commands_refused")) or 0,
        )
        for row in _OUTBOX:
            yield _family(GaugeMetricFamily, row, {"": _section(status, "outbox")})
        yield _one_of("alarm_state", "The alarm's state", get_args(AlarmState), _section(status, "alarm").get("state"))
        yield from _histograms(self._latencies)
        yield from _slo(_section(status, "slo"))
        for row in _SYSTEM:
            yield _family(GaugeMetricFamily, row, {"": _section(status, "system")})
        governor = _section(status, "governor")
        for row in _GOVERNOR:
            yield _family(GaugeMetricFamily, row, {"": governor})
        row = ("changes", "reduction_changes", 1.0, "Steps of the reduction, down and up")
        yield _family(CounterMetricFamily, row, {"": governor})
        yield CounterMetricFamily(
            "detector_api_wrong_tokens", "Wrong tokens that the API was given", value=self._wrong_tokens
        )


def exposition(status: Document, *, wrong_tokens: int = 0, latencies: LatencyCounts | None = None) -> bytes:
    """`status`, how many wrong tokens the API was given, and histograms, in Prometheus' text format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(status, wrong_tokens=wrong_tokens, latencies=latencies or {}))
    return generate_latest(registry)
