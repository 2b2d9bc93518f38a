"""The status document: one snapshot of the whole house, JSON-ready, without a secret in it."""

from __future__ import annotations

import dataclasses
from typing import Any

from detector import __version__
from detector.capture.camera import CaptureStats
from detector.core.redact import redact
from detector.core.system_info import SystemProbe

from .health import HealthMonitor
from .runtime import House

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
            "width",
            "height",
        ),
    )
) | {"latency_ms": {"p50": None, "p99": None}}
"""A camera that is switched off: every figure is there, none is known."""


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)


class StatusReporter:
    """Writes the document that `/api/status` and `P/stats` show."""

    def __init__(self, *, house: House, watch: HealthMonitor) -> None:
        self._house, self._watch = house, watch
        self._probe = SystemProbe()

    def write(self) -> dict[str, Any]:
        document: dict[str, Any] = redact.document(self._document())
        return document

    def _document(self) -> dict[str, Any]:
        house, problems = self._house, self._watch.problems()
        link, outbox = house.link.status(), house.outbox.stats()
        now = house.clock.wall()
        oldest = None if outbox.oldest_wall is None else max(0.0, now - outbox.oldest_wall)
        return {
            "device": {"id": house.config.device.id, "name": house.config.device.title},
            "version": __version__,
            "uptime_s": round(house.clock.mono() - house.started_mono, 1),
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
            },
            "outbox": {
                "pending_alerts": outbox.pending_alerts,
                "pending_events": outbox.pending_events,
                "oldest_s": _rounded(oldest, 1),
                "fault": outbox.fault,
            },
            "alarm": {"state": house.desk.state},
            "system": {key: _rounded(value, 1) for key, value in dataclasses.asdict(self._probe.read()).items()},
        }

    def _stages(self) -> dict[str, Any]:
        faulty = {name for name, _ in self._watch.faults()}
        return {name: {"ok": name not in faulty, "age_s": round(age, 2)} for name, age in self._watch.ages().items()}

    def _model(self) -> dict[str, Any]:
        worker, detector = self._house.worker, self._house.worker.detector
        return {
            "name": self._house.config.model.name if detector is None else detector.model_name,
            "backend": None if detector is None else detector.backend,
            "precision": None if detector is None else detector.precision,
            "provider": None if detector is None else detector.provider,
            "engine_key": None if detector is None else detector.engine_key,
            "engine": None
            if detector is None
            else f"{detector.backend} {detector.backend_version} {detector.precision}",
            "note": worker.note or (None if detector is None else detector.note),
            "choice": self._house.ledger.document(),
            "state": "failed" if worker.error else "loading" if detector is None else "ready",
            "error": worker.error,
            "infer_ms": worker.infer_ms.percentiles(),
        }

    def _cameras(self) -> dict[str, Any]:
        stats = self._house.cameras.stats()
        return {name: self._camera(name, stats.get(name)) for name in self._house.config.cameras}

    def _camera(self, name: str, stats: CaptureStats | None) -> dict[str, Any]:
        house, settings, now = self._house, self._house.config.cameras[name], self._house.clock.mono()
        head: dict[str, Any] = {"source": settings.shown_source, "detect_fps_limit": settings.detect_fps}
        room = house.worker.room(name)
        if stats is None or room is None:
            return {**_UNKNOWN, **head, "state": "disabled"}
        counts, view = house.slots.counts(name), room.view
        age = None if stats.last_frame_mono is None else now - stats.last_frame_mono
        return {
            **head,
            "state": "degraded" if stats.state == "online" and house.worker.failing_since else stats.state,
            "error": stats.error,
            "fps": round(stats.fps, 1),
            "detect_fps": round(view.rate.value(now), 1),
            "frame_age_s": _rounded(age),
            "frames": stats.frames,
            "detected": view.detected,
            "dropped": counts.dropped,
            "skipped": counts.skipped,
            "reconnects": stats.reconnects,
            "decoded": stats.decode.decoded,
            "decode_skipped": stats.decode.skipped,
            "damaged": stats.decode.damaged,
            "close_ups": view.close_ups,
            "keyframes_only": stats.decode.keyframes_only,
            "people": room.people or 0,
            "moving": bool(room.moving),
            "detect_enabled": room.enabled,
            "width": stats.width,
            "height": stats.height,
            "latency_ms": view.latency.percentiles(),
        }
