"""One camera's way from frame to alert: motion gate, tracker, rules, in this order.

The service and `detector replay` run the very same one. The model is not in it: many cameras share one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.config import schema
from detector.core.geometry import iou
from detector.core.types import Alert, Detections, EventChange, Frame, Track

from .crops import Crop, CropPlanner
from .motion import MotionGate
from .rules import Rules
from .tracker import Tracker, TrackerSettings

_KNOWN_IOU = 0.3  # a box that overlaps a track's last one so much is the same person
_SHOWN_S = 0.5  # a box stays in the picture over a flicker, but is not drawn where nobody was seen lately


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOutcome:
    """What one looked-at frame brought; `tracks` are the confirmed people in sight, boxes px."""

    tracks: tuple[Track, ...] = ()
    changes: tuple[EventChange, ...] = ()
    alerts: tuple[Alert, ...] = ()
    people: int = 0
    moving: bool = False


class CameraPipeline:
    """Gate, tracker and rules of the camera `name`; another config is another pipeline.

    Not thread-safe: `should_detect` and `process` take frames in order of time.
    """

    def __init__(self, *, name: str, settings: schema.Camera, device_id: str) -> None:
        self._settings = settings
        self._rules = Rules(camera=name, settings=settings, device_id=device_id)
        self._start_over()

    def _start_over(self) -> None:
        self._gate = MotionGate(settings=self._settings.motion, masks=self._settings.masks)
        motion = self._settings.motion
        # Without the gate nobody knows where to look.
        self._closer = CropPlanner(per_s=motion.crops_per_s) if motion.enabled and motion.crops_per_s else None
        self._tracks: tuple[Track, ...] = ()
        self._tracker = Tracker(settings=_tracking_for(self._settings.alert))
        self._followed = False
        self._stirred_mono: float | None = None
        self.moving = self.idle = False

    def should_detect(self, frame: Frame) -> bool:
        """Whether `frame` is worth a model run; every frame must be shown, wanted or not."""
        look = self._gate.assess(frame.image, frame.captured_mono, people=self._followed)
        self.moving = look.moving
        self._rest(frame.captured_mono)
        return look.run

    def _rest(self, t: float) -> None:
        """Idle: nothing moved and nobody was there for a while, and the camera may be decoded sparingly then."""
        if self.moving or self._followed or self._stirred_mono is None:
            self._stirred_mono = t
        motion = self._settings.motion
        self.idle = motion.idle_decode == "keyframes" and t - self._stirred_mono >= motion.idle_after_s

    def plan_crops(self, found: Detections, size: tuple[int, int]) -> tuple[Crop, ...]:
        """Where a wanted frame is worth more runs of the model, whose input is `size` (width, height) px.

        What they find is joined to `found` by `crops.detect_in_crops`, then processed as one.
        """
        if self._closer is None or self._somebody_new(found):
            return ()
        followed = [track.box for track in self._tracks]
        return self._closer.plan(found, regions=self._gate.regions(), followed=followed, size=size)

    def _somebody_new(self, found: Detections) -> bool:
        """Whether the whole picture shows somebody of whom an alert may be due: it must not wait for more runs."""
        alert = self._settings.alert
        sure = found.boxes[found.scores >= alert.min_score].astype(np.float64)
        known = np.array([track.box for track in self._tracks if track.hits > alert.min_frames], np.float64)
        return bool((iou(sure, known.reshape(-1, 4)).max(axis=1, initial=0.0) < _KNOWN_IOU).any())

    def process(
        self, detections: Detections, *, armed_as: schema.ArmedState | None, confirmed_mono: float | None = None
    ) -> PipelineOutcome:
        """Follow a wanted frame's detections; `armed_as` is how the alarm is armed at this moment.

        Alerts bear `confirmed_mono`, or without it the frame's own time.
        """
        frame = detections.frame
        self._tracks = tracks = self._tracker.update(detections.boxes, detections.scores, frame.captured_mono)
        armed = armed_as in self._settings.alert.armed
        outcome = self._rules.update(frame, tracks, armed=armed, confirmed_mono=confirmed_mono)
        # Candidates too: the second and third look at somebody must not wait for the idle rate.
        self._followed = bool(tracks) or outcome.people > 0
        self._rest(frame.captured_mono)
        return PipelineOutcome(
            tracks=tuple(
                track
                for track in tracks
                if track.id in outcome.present and frame.captured_mono - track.last_mono <= _SHOWN_S
            ),
            changes=outcome.changes,
            alerts=outcome.alerts,
            people=outcome.people,
            moving=self.moving,
        )

    def close(self) -> PipelineOutcome:
        """End every open event at its last sight: camera gone, detection off, shutdown.

        Frames may follow: they start with a fresh tracker and the same cooldown.
        """
        outcome = self._rules.close()
        self._start_over()
        return PipelineOutcome(changes=outcome.changes)


def _tracking_for(alert: schema.AlertSettings) -> TrackerSettings:
    """The tracker's scores: whoever is sure enough for an alert is sure enough to start a track."""
    usual = TrackerSettings()
    sure = min(usual.new_score, alert.min_score)
    return TrackerSettings(min_score=min(usual.min_score, sure), high_score=min(usual.high_score, sure), new_score=sure)
