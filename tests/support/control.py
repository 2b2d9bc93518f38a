"""The service's face without a service: state in memory, the real configuration code, real pictures."""

from __future__ import annotations

import copy
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from detector.api.control import (
    Document,
    Health,
    LatencyCounts,
    Ready,
    StaleConfigError,
    UnknownVisitError,
    WrongCodeError,
)
from detector.api.scene_documents import ZoneDraft
from detector.config import document as configfile
from detector.config import remote
from detector.core.errors import ConfigError
from detector.core.jpeg import Label, encode_jpeg
from detector.core.types import AlarmCommand, ArrayImage
from detector.service.latencies import Latencies
from detector.service.zone_preview import preview_zones

SECRET = "hunter2-and-more"
_ARMING = {
    "ARM_AWAY": "armed_away", "ARM_HOME": "armed_home", "ARM_NIGHT": "armed_night", "ARM_VACATION": "armed_vacation",
    "DISARM": "disarmed",
}  # fmt: skip


def scene(seq: int, *, width: int = 640, height: int = 360) -> ArrayImage:
    """A gradient of a yard at dusk with a figure that walks to the right as `seq` grows."""
    pixels = np.zeros((height, width, 3), np.uint8)
    rows = np.linspace(150, 40, height).astype(np.uint8)[:, None]
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = rows, rows // 2 + 20, rows // 3 + 15
    x = figure(seq, width)
    pixels[height // 2 : height * 5 // 6, x : x + width // 16] = (60, 70, 160)
    pixels[height * 5 // 12 : height // 2, x + width // 64 : x + 3 * width // 64] = (130, 160, 200)
    return ArrayImage(pixels)


def figure(seq: int, width: int) -> int:
    """The figure's left edge in px."""
    return (seq * 8) % (width - width // 16)


def camera_status(**changes: Any) -> Document:
    """A camera that works."""
    status: Document = {
        "state": "online", "error": None, "source": "rtsp://***@10.0.0.4/stream1", "fps": 14.9, "detect_fps": 9.8,
        "frame_age_s": 0.06, "frames": 52110, "detected": 9120, "dropped": 12, "skipped": 42978, "reconnects": 1,
        "people": 1, "moving": True, "detect_enabled": True, "width": 640, "height": 360,
        "latency_ms": {"p50": 41.2, "p99": 88.0},
    }  # fmt: skip
    return status | changes


def event(number: int, *, start: float, **changes: Any) -> Document:
    """A visit that is over."""
    document: Document = {
        "id": f"{start:.3f}-{number:04x}", "camera": "porch", "label": "person", "score": 0.81, "top_score": 0.93,
        "box": [100, 120, 180, 300], "area": 14400, "start_time": start, "end_time": start + 12.5,
        "current_zones": [], "entered_zones": ["garden"], "stationary": False, "active": False, "has_snapshot": True,
    }  # fmt: skip
    return document | changes


def suppression(visit: Document, **changes: Any) -> Document:
    """What the service makes of a visit that is marked as nobody."""
    document: Document = {
        "id": visit["id"], "camera": visit["camera"], "reason": "marked as nobody: same place, same size, same look",
        "asked": True, "proposed": False, "since": visit["start_time"], "last_seen": visit["start_time"], "matches": 1,
        "event_id": visit["id"], "box": [0.1, 0.2, 0.3, 0.9],
    }  # fmt: skip
    return document | changes


class MemoryControl:
    """Implements detector.api.control.Control; tests set its attributes to make things go wrong."""

    def __init__(self, *cameras: str) -> None:
        names = cameras or ("porch", "drive")
        self.document: Document = {
            "cameras": {name: {"source": f"rtsp://cam:{SECRET}@10.0.0.4/{name}"} for name in names},
            "api": {"token": SECRET},
        }
        self.cameras: dict[str, Document] = {name: camera_status() for name in names}
        self.history: list[Document] = [event(n, start=time.time() - 400 * (n + 1)) for n in range(5)]
        self.clips: dict[str, Path] = {}
        self.suppressed: list[Document] = []
        self.overrides: Document = {}
        self.healthy = Health(True)
        self.readiness = Ready(True)
        self.alarm = "armed_away"
        self.code: str | None = None
        self.measured = Latencies()
        self.frigate: Document | None = None
        self.audit: list[Document] = []
        self.seq = 0
        self.failure: Exception | None = None
        self.frozen = False
        self.encoded = self.looked = 0
        self.reason = "2 of 3 frames"
        self._lock = threading.Lock()

    def version(self) -> Document:
        return {"version": "1.2.3", "device": "front-yard", "python": "3.11"}

    def status(self) -> Document:
        if self.failure:
            raise self.failure
        return {
            "device": {"id": "front-yard", "name": "Front yard"}, "version": "1.2.3", "uptime_s": 93784.0,
            "state": "ok", "problems": [],
            "stages": {"capture": {"ok": True, "age_s": 0.1}, "inference": {"ok": True, "age_s": 0.1}},
            "model": {"name": "yolox-tiny-person", "backend": "onnxruntime", "precision": "fp32",
                      "provider": "CPUExecutionProvider", "engine_key": None, "state": "ready", "error": None,
                      "infer_ms": {"p50": 26.4, "p99": 31.0}},
            "cameras": self.cameras,
            "broker": {"state": "connected", "address": "mqtt://10.0.0.2:1883", "protocol": "5", "error": None},
            "outbox": {"pending_alerts": 0, "pending_events": 0, "oldest_s": None},
            "alarm": {"state": self.alarm},
            "system": {"temperature_c": 51.5, "power_w": None, "throttled": False, "rss_mb": 312.0,
                       "cpu_percent": 84.0},
            **self.overrides,
        }  # fmt: skip

    def latencies(self) -> LatencyCounts:
        return self.measured.counts()

    def figures(self, *, day: bool) -> Document:
        step = 300.0 if day else 10.0
        count = 20
        camera = {
            "detect_fps": [9.5 + n % 3 / 4 for n in range(count)], "people": [float(n % 2) for n in range(count)],
            "latency_p50_ms": [40.0 + n % 5 for n in range(count)],
            "latency_p99_ms": [80.0 + n if n != 7 else None for n in range(count)],
        }  # fmt: skip
        infer = {"infer_p50_ms": [26.0] * count, "infer_p99_ms": [30.0 + n / 4 for n in range(count)]}
        times = [time.time() - step * (count - n) for n in range(count)]
        return {"step_s": step, "times": times, "series": {"": infer, **dict.fromkeys(self.cameras, camera)}}

    def health(self) -> Health:
        return self.healthy

    def ready(self) -> Ready:
        return self.readiness

    def config_document(self) -> tuple[Document, str]:
        return configfile.masked(self.document), configfile.etag(self.document)

    def replace_config(self, document: Document, if_match: str | None) -> tuple[Document, str, list[str]]:
        with self._lock:
            if if_match not in (None, configfile.etag(self.document)):
                raise StaleConfigError
            fresh = remote.accepted(document, self.document)
            configfile.validate(fresh)
            restart = ["api"] if fresh.get("api") != self.document.get("api") else []
            self.document = fresh
            return *self.config_document(), restart

    def events(
        self,
        camera: str | None,
        after: float | None,
        limit: int,
        *,
        before: float | str | None = None,
        zone: str | None = None,
        alerted: bool | None = None,
    ) -> list[Document]:
        end = self.event(before)["start_time"] if isinstance(before, str) else before  # type: ignore[index]
        found = [
            {key: value for key, value in e.items() if key != "path"}
            for e in self.history
            if camera in (None, e["camera"])
            and (after or 0) < e["start_time"] < (end or float("inf"))
            and (zone is None or zone in e["entered_zones"])
            and alerted in (None, bool(e.get("alerts")))
        ]
        return copy.deepcopy(found[:limit])

    def delete_event(self, event_id: str) -> bool:
        gone = [e for e in self.history if e["id"] == event_id and e["end_time"] is not None]
        self.history = [e for e in self.history if e not in gone]
        return bool(gone)

    def scene(self, camera: str) -> Document | None:
        if self.cameras[camera]["frames"] is None:
            return None
        x = figure(self.seq, 640) / 640
        settings = configfile.validate(self.document).cameras[camera]
        box = {"track": 1, "box": [x, 0.39, x + 0.07, 0.84], "score": 0.87, "alerted": False, "reason": self.reason}
        return {
            "seq": self.seq, "age_s": 0.06, "width": 640, "height": 360, "moving": True, "boxes": [box],
            "zones": {name: [list(point) for point in zone] for name, zone in settings.zones.items()},
            "masks": [[list(point) for point in mask] for mask in settings.masks],
            "alert_zones": list(settings.alert.zones), "min_area": settings.alert.min_area,
            "max_area": settings.alert.max_area,
        }  # fmt: skip

    def preview_zones(self, camera: str, draft: ZoneDraft) -> Document:
        alert = configfile.validate(self.document).cameras[camera].alert
        visits = [{"alerts": [], **e} for e in self.history if e["camera"] == camera and e["start_time"] > draft.after]
        return preview_zones(visits, camera, alert, draft)

    def event(self, event_id: str) -> Document | None:
        return next((e for e in self.history if e["id"] == event_id), None)

    def snapshot(self, event_id: str) -> bytes | None:
        found = self.event(event_id)
        return encode_jpeg(scene(7), [Label(box=(56, 150, 96, 300), text="person 93 %")]) if found else None

    def clip(self, event_id: str) -> Path | None:
        return self.clips.get(event_id)

    def suppress(self, event_id: str) -> Document:
        found = self.event(event_id)
        if found is None:
            raise UnknownVisitError("no such visit: it is not in the history (any more)")
        made = suppression(found)
        self.suppressed = [made, *(one for one in self.suppressed if one["id"] != made["id"])]
        return made

    def suppressions(self) -> list[Document]:
        return copy.deepcopy(self.suppressed)

    def unsuppress(self, suppression_id: str) -> bool:
        before, self.suppressed = self.suppressed, [one for one in self.suppressed if one["id"] != suppression_id]
        return len(before) > len(self.suppressed)

    def suppression_picture(self, suppression_id: str) -> bytes | None:
        return self.snapshot(suppression_id) if any(one["id"] == suppression_id for one in self.suppressed) else None

    def latest_jpeg(self, camera: str, *, boxes: bool, max_width: int | None) -> tuple[int, bytes] | None:
        if self.cameras[camera]["frames"] is None:
            return None
        with self._lock:
            self.seq += not self.frozen
            self.encoded += 1
            seq = self.seq
        x = figure(seq, 640)
        labels = [Label(box=(x - 8, 140, x + 48, 305), text="person 87 %")] if boxes else []
        return seq, encode_jpeg(scene(seq), labels, max_width=max_width)

    def frame_seq(self, camera: str) -> int | None:
        self.looked += 1
        return self.seq if self.frozen else self.seq + 1

    def frigate_config(self) -> Document | None:
        return self.frigate

    def camera_names(self) -> tuple[str, ...]:
        return tuple(self.cameras)

    def alarm_command(self, command: AlarmCommand, by: str, code: str | None) -> None:
        if self.failure:
            raise self.failure
        if code != self.code:
            raise WrongCodeError("the code is wrong")
        self.alarm = _ARMING[command]
        entry = {"at": "2026-11-22T20:31:00.250Z", "command": command, "state": self.alarm, "by": by, "why": f"by {by}"}
        self.audit.insert(0, entry | {"times": 1})

    def alarm_audit(self) -> list[Document]:
        return list(self.audit)

    def detect_switch(self, camera: str, on: bool) -> None:
        if camera not in self.cameras:
            raise ConfigError("no such camera")
        self.cameras[camera]["detect_enabled"] = on
