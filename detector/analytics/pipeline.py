"""One camera's pipeline from frame to alert: motion gate, tracker, rules, in this order.

The service and `detector replay` use the same one. The model is not part of it, since many cameras share one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from detector.config import schema
from detector.config.arming import ArmedState
from detector.core.geometry import iou
from detector.core.types import Alert, Appearance, BoxReason, Detections, EventChange, Frame, Track

from .burst import Burst
from .crops import Crop, CropPlanner
from .evidence import Circumstances, EvidenceLook, TrackEvidence
from .evidence_curves import EvidenceCurves
from .motion import MotionGate
from .places import Place
from .rules import Rules
from .tamper import TamperDetector
from .tracker import Tracker, TrackerSettings
from .walkers import Walkers

_KNOWN_IOU = 0.3  # a box that overlaps a track's last one by this much is the same person
_WEAK_START = 0.3  # score from which on a detection starts a track where the evidence decides
_FREE_KEYS = ("zones", "masks", "clip", "record_source")
"""Keys of a camera that may change while people are tracked; its clips' are not this pipeline's."""
_FREE_ALERT_KEYS = ("zones", "loiter_s", "repeat_s", "min_area", "max_area", "armed")
_SHOWN_S = 0.5  # a box is still drawn this long after the last detection, to bridge single misses


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOutcome:
    """The results of one frame; `tracks` are the confirmed people in view (boxes px), `people` counts open events.

    `looks` are at the tracks that were not confirmed before this frame; none without a model's curves. `reasons` are why
    each box of the frame, confirmed or not, raises no alert.
    """

    tracks: tuple[Track, ...] = ()
    changes: tuple[EventChange, ...] = ()
    alerts: tuple[Alert, ...] = ()
    people: int = 0
    moving: bool = False
    looks: tuple[EvidenceLook, ...] = ()
    reasons: tuple[BoxReason, ...] = ()


class CameraPipeline:
    """Motion gate, tracker and rules of the camera `name`; for changed settings make a new pipeline.

    Not thread-safe: `should_detect` and `process` take frames in order of time.
    """

    def __init__(
        self, *, name: str, settings: schema.Camera, device_id: str, curves: EvidenceCurves | None = None
    ) -> None:
        self._settings, self._curves = settings, curves
        self._rules = Rules(camera=name, settings=settings, device_id=device_id)
        # Kept over `close`: a camera may be turned while it is offline.
        self.tamper = TamperDetector(frozen_s=settings.tamper.frozen_s) if settings.notices_tamper else None
        self._start_over()

    def adopt(self, settings: schema.Camera, curves: EvidenceCurves | None) -> bool:
        """Go on with other zones, masks and conditions of alerts, every track and visit kept.

        False, and nothing changes, where `settings` differ in more than that or the model's `curves` are others.
        """
        free = {key: getattr(settings, key) for key in _FREE_KEYS}
        alert = {key: getattr(settings.alert, key) for key in _FREE_ALERT_KEYS}
        expected = {**free, "alert": self._settings.alert.model_copy(update=alert)}
        if curves is not self._curves or self._settings.model_copy(update=expected) != settings:
            return False
        self._settings = settings
        self._rules.use_zones(settings)
        self._gate.use_masks(settings.masks)
        return True

    def _start_over(self) -> None:
        self._gate = MotionGate(settings=self._settings.motion, masks=self._settings.masks)
        motion = self._settings.motion
        # Crops need the motion gate's regions.
        self._planner = CropPlanner(per_s=motion.crops_per_s) if motion.enabled and motion.crops_per_s else None
        self._walkers = Walkers()
        self._tracks: tuple[Track, ...] = ()
        self._present: frozenset[int] = frozenset()  # ids of the tracks whose visit is confirmed
        self._tracker = Tracker(settings=_tracking_for(self._settings.alert, self._curves))
        self._evidence = TrackEvidence(self._curves) if self._curves is not None else None
        self._scale = 1.0  # px of the model's input per px of the picture
        self._followed = False
        self._burst = Burst()
        self.hurried = False
        self._active_mono: float | None = None
        self.moving = self.idle = False

    def should_detect(self, frame: Frame) -> bool:
        """Whether `frame` is worth a model run; must be called for every frame."""
        look = self._gate.assess(frame.image, frame.captured_mono, people=self._followed)
        self.moving = look.moving
        self.hurried = self._burst.update(frame.captured_mono, undecided=False)
        if any(look.shift):
            self._tracker.shift(*look.shift)
            self._rules.shift(*look.shift, (frame.image.width, frame.image.height))
            if self._planner is not None:
                self._planner.shift(*look.shift)
            if self._evidence is not None:
                self._evidence.forget_view()
        self._update_idle(frame.captured_mono)
        if self.tamper is not None:
            self.tamper.update(frame.image, frame.captured_mono)
            if self.tamper.kind == "turned":
                self._forget_view()
            return look.run and not self.tamper.noisy  # a model sees people in noise now and then
        return look.run

    def _forget_view(self) -> None:
        if self._planner is not None:
            self._planner.forget_view()
        if self._evidence is not None:
            self._evidence.forget_view()

    def _update_idle(self, t: float) -> None:
        """Idle: no motion and no people for `idle_after_s`; the camera may then be decoded by key frames only."""
        if self.moving or self._followed or self._active_mono is None:
            self._active_mono = t
        motion = self._settings.motion
        self.idle = motion.idle_decode == "keyframes" and t - self._active_mono >= motion.idle_after_s

    @property
    def rate_factor(self) -> float:
        """How many times `detect_fps` this camera should be looked at now: more while a candidate is undecided."""
        return self._settings.burst_factor if self.hurried else 1.0

    def is_guarded(self, armed_as: ArmedState | None) -> bool:
        """Whether the alarm, armed so, includes this camera."""
        return armed_as in self._settings.alert.armed

    def plan_crops(self, found: Detections, size: tuple[int, int]) -> tuple[Crop, ...]:
        """The crops of a frame that should be detected too; `size` (width, height) px is the model's input.

        `crops.detect_in_crops` merges their results with `found`, the detections in the whole picture.
        """
        self._scale = min(size[0] / found.frame.image.width, size[1] / found.frame.image.height)
        if self._planner is None or self._new_person_in(found):
            return ()
        regions = self._gate.regions()
        now = found.frame.captured_mono
        settled = [track for track in self._tracks if track.id in self._present]
        undecided = [track for track in self._tracks if track.id not in self._present]
        return self._planner.plan(
            found,
            regions=regions,
            followed=self._walkers.select(undecided, regions, now),
            settled=self._walkers.select(settled, regions, now),
            size=size,
        )

    def _new_person_in(self, found: Detections) -> bool:
        """Whether `found` has a person who is not tracked yet: an alert may be due, which must not wait for crops."""
        alert = self._settings.alert
        sure = found.boxes[found.scores >= alert.min_score].astype(np.float64)
        known = np.array([track.box for track in self._tracks if track.hits > alert.min_frames], np.float64)
        return bool((iou(sure, known.reshape(-1, 4)).max(axis=1, initial=0.0) < _KNOWN_IOU).any())

    def process(
        self, detections: Detections, *, armed_as: ArmedState | None, confirmed_mono: float | None = None
    ) -> PipelineOutcome:
        """Track the detections of a frame and apply the rules; `armed_as` is how the alarm is armed now.

        Alerts carry `confirmed_mono` (monotonic s), or without it the frame's own time.
        """
        frame = detections.frame
        self._tracks = tracks = self._tracker.update(detections.boxes, detections.scores, frame.captured_mono)
        armed = armed_as in self._settings.alert.armed
        looks = self._looks(frame, tracks)
        certain = frozenset(look.track_id for look in looks if look.certain) if self._by_evidence else None
        outcome = self._rules.update(frame, tracks, armed=armed, confirmed_mono=confirmed_mono, certain=certain)
        self._present = outcome.present
        candidate = any(track.matched and track.id not in outcome.present for track in tracks)
        self.hurried = self._burst.update(frame.captured_mono, undecided=candidate)
        # Candidates too: the second and third detection of a person must not wait for the idle rate.
        self._followed = bool(tracks) or outcome.people > 0
        self._update_idle(frame.captured_mono)
        shown = tuple(
            track
            for track in tracks
            if track.id in outcome.present and frame.captured_mono - track.last_mono <= _SHOWN_S
        )
        if self._planner is not None:
            self._walkers.update(tracks, frame.captured_mono)
            seen = [track.box for track in shown if track.matched]
            self._planner.learn(seen, (frame.image.width, frame.image.height))
        return PipelineOutcome(
            tracks=shown,
            changes=outcome.changes,
            alerts=outcome.alerts,
            people=outcome.people,
            moving=self.moving,
            looks=looks,
            reasons=outcome.reasons,
        )

    @property
    def _by_evidence(self) -> bool:
        return self._evidence is not None and self._settings.alert.confirm == "evidence"

    def _looks(self, frame: Frame, tracks: tuple[Track, ...]) -> tuple[EvidenceLook, ...]:
        if self._evidence is None:
            return ()
        now = Circumstances.of(frame.image, frame.captured_mono, self._scale)
        return self._evidence.update(tracks, now, decided=self._present)

    @property
    def revision(self) -> int:
        """Changes with what `dump` returns."""
        return self._rules.revision

    def dump(self) -> dict[str, Any]:
        """What outlasts a restart or other settings, JSON types only."""
        return self._rules.dump()

    def load(self, document: Mapping[str, Any]) -> bool:
        """Continue with what `dump` gave, before the first frame; False, and nothing is changed, if it is damaged."""
        try:
            self._rules.load(document)
        except (KeyError, TypeError, ValueError, AttributeError):
            return False
        return True

    @property
    def places(self) -> tuple[Place, ...]:
        """The places where nobody is: what raises no alert."""
        return self._rules.places

    def suppress(self, seen: Appearance, *, event_id: str, first_seen: float, wall: float) -> Place:
        """See `Rules.suppress`."""
        return self._rules.suppress(seen, event_id=event_id, first_seen=first_seen, wall=wall)

    def unsuppress(self, place_id: str) -> bool:
        """What is seen there alerts again; False if the place is not known."""
        return self._rules.unsuppress(place_id)

    def close(self) -> PipelineOutcome:
        """End every open event at the time it was last seen: camera lost, detection off, shutdown.

        Frames may follow: they start with a new tracker and the same cooldown.
        """
        outcome = self._rules.close()
        self._start_over()
        return PipelineOutcome(changes=outcome.changes)


def _tracking_for(alert: schema.AlertSettings, curves: EvidenceCurves | None) -> TrackerSettings:
    """The tracker's scores: a score that is enough for an alert is enough to start a track.

    Where the evidence decides, weaker detections start tracks too.
    """
    usual = TrackerSettings()
    sure = min(usual.new_score, alert.min_score)
    start = min(sure, max(_WEAK_START, alert.least_score)) if curves and alert.confirm == "evidence" else sure
    return TrackerSettings(
        min_score=min(usual.min_score, start), high_score=min(usual.high_score, sure), new_score=start
    )
