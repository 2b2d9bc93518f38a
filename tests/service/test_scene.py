from __future__ import annotations

from detector.config.schema import Camera
from detector.core.types import BoxReason
from detector.service.live_view import LiveScene
from detector.service.scene import scene_document
from support.visits import frame

ZONE = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0))


def test_boxes_are_shares_and_zones_come_along() -> None:
    settings = Camera.model_validate(
        {"source": "x", "zones": {"path": ZONE, "bed": ZONE}, "masks": [ZONE], "alert": {"zones": ["bed"]}}
    )
    seen = BoxReason(track_id=2, box=(16.0, 12.0, 32.0, 48.0), score=0.91234, alerted=True, reason="")
    found = scene_document(
        LiveScene(frame=frame(mono=10.0), people=(), moving=False, reasons=(seen,)), settings, now=9.0
    )
    assert found["boxes"] == [
        {"track": 2, "box": [0.25, 0.25, 0.5, 1.0], "score": 0.912, "alerted": True, "reason": ""}
    ]
    assert (list(found["zones"]), found["masks"], found["alert_zones"]) == (
        ["path", "bed"],
        [[list(p) for p in ZONE]],
        ["bed"],
    )
    assert found["age_s"] == 0.0, "never negative"
