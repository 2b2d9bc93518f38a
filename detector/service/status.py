"""The status document: one snapshot of the whole service, JSON-ready, without a secret in it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import detector
from detector import __version__
from detector.analytics.tamper import EXPLAINED
from detector.capture.camera import CaptureStats
from detector.capture.latest_frames import LatestFrames
from detector.config.schema import Camera
from detector.core.clock import Clock
from detector.core.device_sensors import DeviceSensors
from detector.core.redact import redact
from detector.core.system_info import SystemProbe
from detector.models.autotune.status import AutotuneStatus

from .arming import ArmingController
from .camera_status import status_word
from .config_store import ConfigStore
from .health import Broker, CameraStats, HealthMonitor, OutboxCounts
from .inference_loop import CameraChannel
from .model_host import ModelHost
from .refused_commands import RefusedCommands
from .snooze import Snoozes

FindChannel = Callable[[str], "CameraChannel | None"]

_UNKNOWN: dict[str, Any] = dict.fromkeys(
    (
        *("error", "fps", "detect_fps", "frame_age_s", "frames", "detected", "dropped", "skipped", "reconnects"),
        *(
            "decoded",
            "decode_skipped",
            "damaged",
            "keyframes_only",
            "close_ups",
            "people",
            "moving",
            "detect_enabled",
            "snoozed_until",
            "width",
            "height",
        ),
    )
) | {"notes": [], "latency_ms": {"p50": None, "p99": None}, "self_test": None}
"""A camera that is switched off: every figure is there, none is known."""


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)


def version_on_disk(package: Path = Path(detector.__file__).parent) -> str | None:
    """The version that lies where this one was started from: what a restart would run. None where it is unreadable."""
    try:
        found = re.search(r'__version__ = "([^"]+)"', (package / "__init__.py").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return None if found is None else found[1]


class StatusReporter:
    """Writes the document that `/api/status` and `P/stats` show."""

    def __init__(
        self,
        *,
        store: ConfigStore,
        health: HealthMonitor,
        cameras: CameraStats,
        frames: LatestFrames,
        channel: FindChannel,
        model: ModelHost,
        autotune: AutotuneStatus,
        broker: Broker,
        outbox: OutboxCounts,
        alarm: ArmingController,
        snoozes: Snoozes,
        refused: RefusedCommands,
        clock: Clock,
        self_test: Callable[[str], dict[str, Any] | None] = lambda _camera: None,
        sensors: DeviceSensors | None = None,
        throttling: Callable[[], str | None] = lambda: None,
        more: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._self_test = self_test
        self._store, self._health, self._stats, self._frames = store, health, cameras, frames
        self._channel, self._host, self._autotune = channel, model, autotune
        self._broker, self._outbox, self._alarm, self._clock = broker, outbox, alarm, clock
        self._snoozes, self._refused, self._more = snoozes, refused, more
        self._started_mono = clock.mono()
        self._probe, self._throttling = SystemProbe(sensors=sensors), throttling

    @property
    def uptime_s(self) -> float:
        return round(self._clock.mono() - self._started_mono, 1)

    def write(self) -> dict[str, Any]:
        document: dict[str, Any] = redact.document(self._document())
        return document

    def _document(self) -> dict[str, Any]:
        device, problems = self._store.config.device, self._health.problems()
        link, outbox = self._broker.status(), self._outbox.stats()
        now = self._clock.wall()
        oldest = None if outbox.oldest_wall is None else max(0.0, now - outbox.oldest_wall)
        return {
            "device": {"id": device.id, "name": device.title},
            "version": __version__,
            "version_on_disk": version_on_disk(),
            "uptime_s": self.uptime_s,
            "state": "degraded" if problems else "ok",
            "problems": problems,
            "stages": self._stages(),
            "model": self._model(),
            "cameras": self._cameras(),
            "broker": {
                "state": link.state,
                "address": link.address,
                "protocol": link.protocol,
                "error": None if link.state == "connected" else link.error,
                "commands_refused": self._refused.total,
            },
            "outbox": {
                "pending_alerts": outbox.pending_alerts,
                "pending_events": outbox.pending_events,
                "oldest_s": _rounded(oldest, 1),
                "fault": outbox.fault,
            },
            **self._more(),
            "alarm": {"state": self._alarm.state, **self._alarm.document()},
            "system": self._system(),
        }

    def _system(self) -> dict[str, Any]:
        system: dict[str, Any] = {k: _rounded(v, 1) for k, v in dataclasses.asdict(self._probe.read()).items()}
        reason = self._throttling()
        return {**system, "throttled": system["throttled"] if reason is None else True, "throttled_reason": reason}

    def _stages(self) -> dict[str, Any]:
        faulty = {name for name, _ in [*self._health.faults(), *self._health.background_faults()]}
        return {name: {"ok": name not in faulty, "age_s": round(age, 2)} for name, age in self._health.ages().items()}

    def _model(self) -> dict[str, Any]:
        model, detector = self._host, self._host.detector
        return {
            "name": self._store.config.model.name if detector is None else detector.model_name,
            "backend": None if detector is None else detector.backend,
            "precision": None if detector is None else detector.precision,
            "provider": None if detector is None else detector.provider,
            "engine_key": None if detector is None else detector.engine_key,
            "engine": None
            if detector is None
            else f"{detector.backend} {detector.backend_version} {detector.precision}",
            "note": model.note or (None if detector is None else detector.note),
            "choice": self._autotune.document(),
            "state": "failed" if model.error else "loading" if detector is None else "ready",
            "error": model.error,
            "infer_ms": model.infer_ms.percentiles(),
        }

    def _cameras(self) -> dict[str, Any]:
        stats = self._stats()
        return {
            name: self._camera(settings, name, stats.get(name)) for name, settings in self._store.config.cameras.items()
        }

    def _camera(self, settings: Camera, name: str, stats: CaptureStats | None) -> dict[str, Any]:
        now = self._clock.mono()
        head: dict[str, Any] = {"source": settings.shown_source, "detect_fps_limit": settings.detect_fps}
        channel = self._channel(name)
        if stats is None or channel is None:
            return {**_UNKNOWN, **head, "state": "disabled"}
        counts, view = self._frames.counts(name), channel.view
        age = None if stats.last_frame_mono is None else now - stats.last_frame_mono
        failing = self._host.failing_since is not None
        return {
            **head,
            "state": status_word(stats, failing=failing, tampered=channel.tamper is not None)
            if stats.state == "online"
            else stats.state,
            "error": stats.error or (None if channel.tamper is None else EXPLAINED[channel.tamper]),
            "notes": list(stats.notes),
            "fps": round(stats.fps, 1),
            "detect_fps": round(view.rate.value(now), 1),
            "frame_age_s": _rounded(age),
            "frames": stats.frames,
            "detected": view.detected,
            "dropped": counts.dropped + counts.refused,
            "skipped": counts.skipped,
            "reconnects": stats.reconnects,
            "decoded": stats.decode.decoded,
            "decode_skipped": stats.decode.skipped,
            "damaged": stats.decode.damaged,
            "close_ups": view.close_ups,
            "keyframes_only": stats.decode.keyframes_only,
            "people": channel.people or 0,
            "moving": bool(channel.moving),
            "detect_enabled": channel.enabled,
            "snoozed_until": self._snoozes.until(name),
            "width": stats.width,
            "height": stats.height,
            "latency_ms": view.latency.percentiles(),
            "self_test": self._self_test(name),
        }
