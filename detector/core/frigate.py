"""Events and figures in the shapes of Frigate's HTTP API and `stats` topic; pure, from this project's own documents.

Source of the shapes: Frigate's documentation, "HTTP API" and "MQTT", and what its Home Assistant integration reads. What
there is nothing of here is null, empty or 0, as Frigate says it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Final

Document = dict[str, Any]
VERSION: Final = "0.14.1"
"""The Frigate whose shapes these are; clients compare it."""
_CAMERA_PIDS: Final = {"pid": 0, "capture_pid": 0, "ffmpeg_pid": 0, "audio_rms": 0.0, "audio_dBFS": 0.0}


def event_document(event: Mapping[str, Any]) -> Document:
    """A visit as `GET /api/events` of Frigate has it; boxes in `data` are x, y, w, h as shares of the picture."""
    alerted = bool(event.get("alerts"))
    return {
        "id": event["id"],
        "camera": event["camera"],
        "label": event["label"],
        "sub_label": event.get("sub_label"),
        "start_time": event["start_time"],
        "end_time": event["end_time"],
        "false_positive": False,
        "zones": list(event["entered_zones"]),
        "thumbnail": "",
        "has_clip": bool(event.get("has_clip")),
        "has_snapshot": bool(event["has_snapshot"]),
        "retain_indefinitely": False,
        "plus_id": None,
        "model_hash": None,
        "detector_type": None,
        "model_type": None,
        "top_score": event["top_score"],
        "score": event["score"],
        "box": event["box"],
        "area": event["area"],
        "ratio": event.get("ratio"),
        "region": event.get("region"),
        "data": {
            "type": "object",
            "score": event["score"],
            "top_score": event["top_score"],
            "box": _shares(event.get("box"), event.get("frame_size")),
            "region": _shares(event.get("region"), event.get("frame_size")),
            "attributes": [],
            "max_severity": "alert" if alerted else "detection",
        },
    }


def _shares(box: Any, size: Any) -> list[float]:
    if not box or not size or not all(size):
        return [0.0, 0.0, 0.0, 0.0]
    (x1, y1, x2, y2), (width, height) = box, size
    return [round(v, 5) for v in (x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height)]


def event_summary(events: Iterable[Mapping[str, Any]]) -> list[Document]:
    """How many visits there were of each day (UTC), camera and set of zones, newest day first."""
    counts: dict[tuple[str, str, tuple[str, ...]], int] = {}
    for event in events:
        day = datetime.fromtimestamp(event["start_time"], tz=timezone.utc).strftime("%Y-%m-%d")
        key = day, event["camera"], tuple(event["entered_zones"])
        counts[key] = counts.get(key, 0) + 1
    return [
        {"day": day, "camera": camera, "label": "person", "sub_label": None, "zones": list(zones), "count": count}
        for (day, camera, zones), count in sorted(counts.items(), reverse=True)
    ]


def stats_document(status: Mapping[str, Any]) -> Document:
    """The figures of `status` in the shape of Frigate's `stats`."""
    cameras = {name: {**_camera_stats(camera), **_CAMERA_PIDS} for name, camera in status["cameras"].items()}
    model, system = status["model"], status["system"]
    infer_ms = (model.get("infer_ms") or {}).get("p50")
    temperature = system.get("temperature_c")
    return {
        "cameras": cameras,
        "detectors": {"detector": {"inference_speed": infer_ms or 0.0, "detection_start": 0.0, "pid": 0}},
        "detection_fps": round(sum(camera["detection_fps"] for camera in cameras.values()), 1),
        "cpu_usages": {"frigate.full_system": {"cpu": str(system.get("cpu_percent") or 0.0), "mem": "0.0"}},
        "gpu_usages": {},
        "service": {
            "uptime": int(status["uptime_s"]),
            "version": f"{VERSION}-{status['version']}",
            "latest_version": VERSION,
            "storage": {},
            "temperatures": {} if temperature is None else {"device": temperature},
            "last_updated": 0,
        },
    }


def _camera_stats(camera: Mapping[str, Any]) -> Document:
    fps, detect_fps = camera.get("fps") or 0.0, camera.get("detect_fps") or 0.0
    return {
        "camera_fps": fps,
        "process_fps": detect_fps,
        "skipped_fps": round(max(0.0, fps - detect_fps), 1),
        "detection_fps": detect_fps,
        "detection_enabled": bool(camera.get("detect_enabled")),
    }


def with_stats(status: Mapping[str, Any]) -> Document:
    """`status` with Frigate's figures in it: one document on `stats` for both kinds of readers."""
    frigate = stats_document(status)
    cameras = {name: {**frigate["cameras"][name], **camera} for name, camera in status["cameras"].items()}
    return {**frigate, **status, "cameras": cameras}
