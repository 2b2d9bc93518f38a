"""The configuration in the shape of Frigate's `/api/config`, as far as its clients read it; without a secret."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from detector.config.schema import Camera, Config
from detector.core.frigate import VERSION

from .frigate_switches import contour_area, motion_threshold

Document = dict[str, Any]
_OFF: Document = {"enabled": False, "enabled_in_config": False}


def frigate_config(config: Config, cameras: Mapping[str, Mapping[str, Any]]) -> Document:
    """`cameras`: their figures from the status, which know the pictures' sizes."""
    mqtt = config.mqtt
    return {
        "version": VERSION,
        "mqtt": {
            "enabled": True,
            "topic_prefix": mqtt.topic_prefix,
            "client_id": config.device.id,
            "stats_interval": mqtt.stats_interval_s,
        },
        "auth": {"enabled": False},
        "birdseye": {"enabled": False, "restream": False, "mode": "objects"},
        "camera_groups": {},
        "cameras": {
            name: _camera(name, camera, cameras.get(name, {}), order)
            for order, (name, camera) in enumerate(config.cameras.items())
        },
        "detectors": {"detector": {"type": config.model.backend}},
        "face_recognition": {"enabled": False},
        "go2rtc": {"streams": {}},
        "lpr": {"enabled": False},
        "model": {"path": None, "labelmap": {"0": "person"}},
        "objects": {"track": ["person"]},
        "record": _switch(any(camera.clip.enabled for camera in config.cameras.values())),
        "semantic_search": {"enabled": False},
        "snapshots": {"enabled": True},
        "ui": {},
    }


def _switch(enabled: bool) -> Document:
    return {"enabled": enabled, "enabled_in_config": enabled}


def _camera(name: str, camera: Camera, figures: Mapping[str, Any], order: int) -> Document:
    width, height = figures.get("width") or 1280, figures.get("height") or 720
    alert = camera.alert
    person = {
        "min_score": alert.min_score,
        "threshold": alert.min_score,
        "min_area": round(alert.min_area * width * height),
        "max_area": round(alert.max_area * width * height),
    }
    return {
        "name": name,
        "enabled": camera.enabled,
        "audio": _OFF,
        "best_image_timeout": 60,
        "birdseye": {"enabled": False},
        "detect": {"enabled": True, "width": width, "height": height, "fps": camera.detect_fps},
        "ffmpeg": {"inputs": []},
        "live": {"stream_name": name, "streams": {}, "height": 720, "quality": 8},
        "motion": {
            "enabled": camera.motion.enabled,
            "threshold": motion_threshold(camera),
            "contour_area": contour_area(camera),
        },
        "mqtt": {"enabled": True},
        "notifications": _switch(True),
        "objects": {"track": ["person"], "filters": {"person": person}},
        "onvif": {"host": ""},
        "record": _switch(camera.clip.enabled),
        "review": {
            "alerts": {"enabled": True, "labels": ["person"], "required_zones": list(alert.zones)},
            "detections": {"enabled": True, "labels": None, "required_zones": []},
        },
        "rtmp": {"enabled": False},
        "snapshots": {"enabled": True},
        "ui": {"order": order, "dashboard": True},
        "webui_url": None,
        "zones": {
            zone: {
                "coordinates": ",".join(f"{value:g}" for point in points for value in point),
                "objects": ["person"],
                "filters": {},
                "color": list(hashlib.sha256(zone.encode()).digest()[:3]),
            }
            for zone, points in camera.zones.items()
        },
    }
