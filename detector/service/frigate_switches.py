"""What Frigate's clients show as switches and numbers of a camera: what the configuration says; pure."""

from __future__ import annotations

from typing import Final

from detector.config.schema import Camera

_THRESHOLD: Final = 30  # Frigate's own default, for a threshold that follows the picture's noise
_MOTION_PX: Final = 100 * 178  # Frigate looks for motion in a picture that is 100 px high; taken as 16:9
ON_OFF: Final = (
    "motion", "recordings", "snapshots", "enabled", "audio", "improve_contrast", "review_alerts", "review_detections",
    "notifications",
)  # fmt: skip
NUMBERS: Final = ("motion_threshold", "motion_contour_area")
SETTINGS: Final = (*ON_OFF, *NUMBERS)
"""Each has `P/CAM/NAME/state`, and `P/CAM/NAME/set`, which changes nothing."""


def motion_threshold(camera: Camera) -> int:
    """The smallest change of a pixel that counts, in grey levels 1..255."""
    threshold = camera.motion.threshold
    return _THRESHOLD if threshold is None else max(1, round(threshold))


def contour_area(camera: Camera) -> int:
    """The smallest share of the picture that must change, as Frigate counts it: px of its picture for motion."""
    return max(1, round(camera.motion.min_area * _MOTION_PX))


def states(camera: Camera) -> dict[str, str]:
    """The payload of each state topic by its setting's name."""
    on = {
        "motion": camera.motion.enabled,
        "recordings": camera.clip.enabled,
        "enabled": camera.enabled,
        "audio": False,
        "improve_contrast": False,
    }
    numbers = {"motion_threshold": motion_threshold(camera), "motion_contour_area": contour_area(camera)}
    return {name: "ON" if on.get(name, True) else "OFF" for name in ON_OFF} | {
        name: str(number) for name, number in numbers.items()
    }
