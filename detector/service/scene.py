"""What a camera's newest frame shows, for the API."""

from __future__ import annotations

from typing import Any

from detector.config.schema import Camera
from detector.core.types import BoxReason

from .live_view import LiveScene


def scene_document(scene: LiveScene, settings: Camera, now: float) -> dict[str, Any]:
    """As `api.scene_documents.Scene` names it; `now` is monotonic s, boxes and points are shares of the picture."""
    size = scene.frame.image.width, scene.frame.image.height
    return {
        "seq": scene.frame.seq,
        "age_s": round(max(0.0, now - scene.frame.captured_mono), 2),
        "width": size[0],
        "height": size[1],
        "moving": scene.moving,
        "boxes": [_box(reason, size) for reason in scene.reasons],
        "zones": {name: [list(point) for point in polygon] for name, polygon in settings.zones.items()},
        "masks": [[list(point) for point in polygon] for polygon in settings.masks],
        "alert_zones": list(settings.alert.zones),
        "min_area": settings.alert.min_area,
        "max_area": settings.alert.max_area,
    }


def _box(reason: BoxReason, size: tuple[int, int]) -> dict[str, Any]:
    (x1, y1, x2, y2), (width, height) = reason.box, size
    return {
        "track": reason.track_id,
        "box": [round(x1 / width, 4), round(y1 / height, 4), round(x2 / width, 4), round(y2 / height, 4)],
        "score": round(reason.score, 3),
        "alerted": reason.alerted,
        "reason": reason.reason,
    }
