"""The inference loop: the most urgent frame, motion gate, model, tracker, rules; what they find is passed on.

One thread runs it; that thread owns the model (`ModelHost`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from detector.analytics.crops import detect_in_crops
from detector.analytics.evidence_curves import EvidenceCurves
from detector.analytics.pipeline import CameraPipeline, PipelineOutcome
from detector.analytics.places import Place
from detector.analytics.tamper import EXPLAINED, TamperKind
from detector.capture.idle_cameras import IdleCameras
from detector.capture.latest_frames import LatestFrames
from detector.config.schema import Camera
from detector.core.clock import Clock
from detector.core.errors import InferenceError
from detector.core.types import Appearance, Detections, EventChange, Frame, TamperAlert
from detector.inference.multi_size import AnyDetector

from .alarm_controller import AlarmController
from .camera_memory import CameraMemory
from .latencies import Latencies
from .live_view import LiveScene, LiveView
from .model_host import ModelHost
from .model_probes import ModelProbes

log = logging.getLogger(__name__)

TAKE_S = 0.25  # how long to wait for a frame before looking at timers
SPARE_S = 0.5  # idle time of inference that is kept for crops, at most

_T = TypeVar("_T")


class FindingsSink(Protocol):
    """Where findings go; every method returns at once."""

    def change(self, change: EventChange) -> None: ...

    def people(self, camera: str, count: int) -> None: ...

    def motion(self, camera: str, moving: bool) -> None: ...

    def tamper(self, alert: TamperAlert) -> None: ...


@dataclass(slots=True, kw_only=True)
class CameraChannel:
    """One camera in the loop: its pipeline, its newest scene, and what was published of it."""

    name: str
    pipeline: CameraPipeline
    view: LiveView = field(default_factory=LiveView)
    enabled: bool = True
    people: int | None = None
    moving: bool | None = None
    kept_revision: int = 0
    proposed: frozenset[str] = frozenset()  # suppressions that were proposed to the user
    alarmed_tamper: bool = False  # once for each time that the view is gone

    @property
    def tamper(self) -> TamperKind | None:
        """How the camera's view is gone; None while it is there, or nobody looks."""
        watch = self.pipeline.tamper
        return watch.kind if watch is not None and self.enabled else None


class InferenceLoop:
    """See the module; `add`, `remove`, `end_visits`, `switch`, `channel` may be called from any thread."""

    def __init__(
        self,
        *,
        frames: LatestFrames,
        model: ModelHost,
        alarm: AlarmController,
        findings: FindingsSink,
        clock: Clock,
        device_id: str,
        idle: IdleCameras | None = None,
        memory: CameraMemory | None = None,
        is_snoozed: Callable[[str], bool] = lambda _: False,
        latencies: Latencies | None = None,
        probes: ModelProbes | None = None,
        curves: EvidenceCurves | None = None,
    ) -> None:
        self._curves = curves
        self._latencies, self._probes = latencies or Latencies(), probes or ModelProbes()
        self._frames, self._model, self._alarm, self._findings = frames, model, alarm, findings
        self._clock, self._device_id = clock, device_id
        self._idle = idle or IdleCameras()
        self._memory = memory or CameraMemory()
        self._is_snoozed = is_snoozed
        self._channels: dict[str, CameraChannel] = {}
        self._lock = threading.Lock()  # held over a frame's rules and over every change of channels
        self._spare_s = 0.0
        self._turned_mono = clock.mono()

    # Any thread

    @property
    def progress_mono(self) -> float:
        """When the loop last turned, monotonic s; now while the first model loads, which may take minutes."""
        return self._clock.mono() if self._model.loading else self._turned_mono

    def add(self, name: str, settings: Camera, *, enabled: bool) -> None:
        """Open a camera's channel, or open it again with other settings; other zones alone end no visit."""
        # The sums take time of every frame: they are for cameras that decide by them.
        curves = self._curves if settings.alert.confirm == "evidence" else None
        with self._lock:
            open_one = self._channels.get(name)
            if open_one is not None and open_one.enabled == enabled and open_one.pipeline.adopt(settings, curves):
                return
        pipeline = CameraPipeline(name=name, settings=settings, device_id=self._device_id, curves=curves)
        with self._lock:
            old = self._channels.get(name)
            if old is not None:
                self._pass_on(old, old.pipeline.close())
            kept = self._memory.of(name)
            if kept is not None and not pipeline.load(kept):
                log.warning("camera %s: what was kept of its still places cannot be read and is not used", name)
            self._channels[name] = CameraChannel(
                name=name,
                pipeline=pipeline,
                enabled=enabled,
                view=old.view if old else LiveView(),
                kept_revision=pipeline.revision,
            )

    def use_curves(self, curves: EvidenceCurves | None) -> None:
        """What another model's scores tell, for channels that are opened from now on."""
        self._curves = curves

    def remove(self, name: str) -> None:
        """Close a camera's channel; its open events end."""
        with self._lock:
            channel = self._channels.pop(name, None)
            if channel is not None:
                self._pass_on(channel, channel.pipeline.close())

    def end_visits(self, name: str) -> None:
        """The camera gives no frames any more: its open events end where each person was last seen."""
        with self._lock:
            channel = self._channels.get(name)
            if channel is not None:
                self._pass_on(channel, channel.pipeline.close())

    def switch(self, name: str, *, enabled: bool) -> None:
        """Detection of one camera on or off; raises KeyError."""
        with self._lock:
            channel = self._channels[name]
            channel.enabled = enabled
            if not enabled:
                self._pass_on(channel, channel.pipeline.close())

    def channel(self, name: str) -> CameraChannel | None:
        with self._lock:
            return self._channels.get(name)

    def places(self) -> dict[str, tuple[Place, ...]]:
        """Each camera's places where nobody is: what raises no alert there."""
        with self._lock:
            return {name: channel.pipeline.places for name, channel in self._channels.items()}

    def suppress(self, name: str, seen: Appearance, *, event_id: str, first_seen: float) -> Place:
        """See `Rules.suppress`; raises KeyError where the camera has no channel, ValueError for an empty box."""
        with self._lock:
            channel = self._channels[name]
            place = channel.pipeline.suppress(seen, event_id=event_id, first_seen=first_seen, wall=self._clock.wall())
            self._keep_memory(channel)
            return place

    def unsuppress(self, place_id: str) -> bool:
        """What is seen in that place alerts again; False where no camera knows it."""
        with self._lock:
            for channel in self._channels.values():
                if channel.pipeline.unsuppress(place_id):
                    self._keep_memory(channel)
                    return True
        return False

    def tamper(self, name: str) -> TamperKind | None:
        """How the camera's view is gone; None while it is there."""
        channel = self.channel(name)
        return None if channel is None else channel.tamper

    # The loop

    def run(self, stop: threading.Event) -> None:
        """Until `stop`; every open event ends with it."""
        loaded = self._model.open()
        self._turned_mono = self._clock.mono()
        if not loaded:
            return
        while not stop.is_set():
            self._turn(stop)
        with self._lock:
            for channel in self._channels.values():
                self._pass_on(channel, channel.pipeline.close())
        self._model.close()

    def _turn(self, stop: threading.Event) -> None:
        self._turned_mono = self._clock.mono()
        self._model.take_next()
        self._alarm.tick()
        self._probes.run_one(self._model.detector)
        begun = self._clock.mono()
        frame = self._frames.take(TAKE_S)
        self._spare_s = min(SPARE_S, self._spare_s + self._clock.mono() - begun)
        if frame is None:
            return
        if self._model.detector is not None and self._model.detector.max_batch > 1:
            self._detect_batch(self._model.detector, frame, stop)
            return
        try:
            self._detect(frame)
        except InferenceError as error:
            self._model.failed(error, stop)
        except Exception:
            # One camera's fault must not stop the others.
            log.exception("camera %s: a frame could not be processed", frame.camera)

    def _admitted(self, frame: Frame) -> CameraChannel | None:
        """The frame's channel where the model is to look at it; elsewhere it is only shown."""
        with self._lock:
            channel = self._channels.get(frame.camera)
            wanted = channel is not None and channel.enabled and channel.pipeline.should_detect(frame)
            if channel is not None:
                self._alarm_tamper(channel, frame)
        if channel is not None and not wanted:
            self._show_only(channel, frame)
        return channel if wanted else None

    def _alarm_tamper(self, channel: CameraChannel, frame: Frame) -> None:
        """An alert, where the alarm is armed for this camera, once a view that was there is gone."""
        kind, watch = channel.tamper, channel.pipeline.tamper
        if kind is None or watch is None:
            channel.alarmed_tamper = False
        elif watch.sudden and not channel.alarmed_tamper and channel.pipeline.is_guarded(self._alarm.armed_as):
            channel.alarmed_tamper = True
            wall = frame.captured_wall
            alert = TamperAlert(id=f"{wall:.6f}-{channel.name}-{kind}", camera=channel.name, kind=kind, wall=wall)
            log.warning("camera %s: %s", channel.name, EXPLAINED[kind])
            self._findings.tamper(alert)

    def _detect(self, frame: Frame) -> None:
        channel = self._admitted(frame)
        if channel is None:
            return
        assert self._model.detector is not None
        detections = self._model.detector.detect(frame)
        self._model.infer_ms.add(detections.infer_ms)
        self._model.succeeded()
        self._finish(channel, detections)

    def _finish(self, channel: CameraChannel, detections: Detections) -> None:
        self._track(channel, self._detect_in_crops(channel, detections))

    def _detect_in_crops(self, channel: CameraChannel, found: Detections) -> Detections:
        """`found` and what crops of its frame add: in idle time alone, and while no frame waits."""
        assert self._model.detector is not None
        if self._spare_s * 1e3 < found.infer_ms or self._frames.waiting():
            return found
        if self._frames.share < 1.0 and channel.view.detected % 2:
            return found  # while less is to be done, what fewer frames save must not go into crops
        with self._lock:
            crops = channel.pipeline.plan_crops(found, self._model.detector.input_size)
        begun = self._clock.mono()
        found = detect_in_crops(found, crops, self._model.detector.detect_many)
        self._spare_s -= self._clock.mono() - begun
        channel.view.close_ups += len(crops)
        return found

    # Several cameras in one run of the model, where it takes several

    def _detect_batch(self, detector: AnyDetector, first: Frame, stop: threading.Event) -> None:
        """`first`, and the most urgent frames of other cameras that wait by now."""
        admitted = self._gather(first, detector.max_batch)
        if not admitted:
            return
        try:
            found = detector.detect_many([frame for _, frame in admitted])
        except InferenceError as error:
            self._model.failed(error, stop)
            return
        failures = [error for error in found if isinstance(error, InferenceError)]
        for (channel, frame), result in zip(admitted, found, strict=True):
            if isinstance(result, Detections):
                self._model.infer_ms.add(result.infer_ms)
                # Crops of one frame would keep the alerts of the others waiting.
                finish = self._finish if len(admitted) == 1 else self._track
                self._isolated(frame, partial(finish, channel, result))
            elif not isinstance(result, InferenceError):
                log.error("camera %s: a frame could not be processed", frame.camera, exc_info=result)
        # One run, one failure at most: nonsense about one picture beside good ones is no reason to load the model again.
        if any(isinstance(result, Detections) for result in found):
            self._model.succeeded()
        if failures:
            self._model.failed(failures[0], stop)

    def _gather(self, first: Frame, most: int) -> list[tuple[CameraChannel, Frame]]:
        """At most `most` frames for the model, one a camera, so that each camera's stay in order."""
        admitted: list[tuple[CameraChannel, Frame]] = []
        asked: set[str] = set()
        frame: Frame | None = first
        while frame is not None:
            asked.add(frame.camera)
            channel = self._isolated(frame, partial(self._admitted, frame))
            if channel is not None:
                admitted.append((channel, frame))
            frame = self._frames.take_waiting(asked) if len(admitted) < most else None
        return admitted

    def _isolated(self, frame: Frame, step: Callable[[], _T]) -> _T | None:
        """One camera's fault must not stop the others."""
        try:
            return step()
        except Exception:
            log.exception("camera %s: a frame could not be processed", frame.camera)
            return None

    def _show_only(self, channel: CameraChannel, frame: Frame) -> None:
        self._set_rate(channel)
        scene = channel.view.scene()
        people = scene.people if scene is not None and channel.enabled else ()
        reasons = scene.reasons if scene is not None and people else ()
        moving = channel.enabled and channel.pipeline.moving
        channel.view.show(LiveScene(frame=frame, people=people, moving=moving, reasons=reasons))
        self._publish_motion(channel, moving)
        self._idle.set(channel.name, channel.enabled and channel.pipeline.idle)

    def _track(self, channel: CameraChannel, detections: Detections) -> None:
        with self._lock:
            if self._channels.get(channel.name) is not channel:
                return  # reconfigured meanwhile: the new channel starts with the next frame
            now, frame = self._clock.mono(), detections.frame
            armed_as = None if self._is_snoozed(channel.name) else self._alarm.armed_as
            outcome = channel.pipeline.process(detections, armed_as=armed_as, confirmed_mono=now)
            channel.view.count(now=now, captured_mono=frame.captured_mono)
            self._latencies.frame(
                captured_mono=frame.captured_mono,
                begun_mono=now,
                done_mono=self._clock.mono(),
                infer_s=detections.infer_ms / 1e3,
            )
            channel.view.show(
                LiveScene(frame=frame, people=outcome.tracks, moving=outcome.moving, reasons=outcome.reasons)
            )
            self._set_rate(channel)
            self._pass_on(channel, outcome)

    def _set_rate(self, channel: CameraChannel) -> None:
        """Look faster while a candidate is undecided, where inference has time for it."""
        spare = self._spare_s > 0.0 and not self._frames.waiting()
        self._frames.hurry(channel.name, channel.pipeline.rate_factor if spare else 1.0)

    def _pass_on(self, channel: CameraChannel, outcome: PipelineOutcome) -> None:
        self._keep_memory(channel)
        for change in outcome.changes:
            self._findings.change(change)
        for alert in outcome.alerts:
            self._alarm.intrusion(alert)
        if outcome.people != channel.people:
            channel.people = outcome.people
            self._findings.people(channel.name, outcome.people)
        self._publish_motion(channel, outcome.moving)
        self._idle.set(channel.name, channel.enabled and channel.pipeline.idle)

    def _keep_memory(self, channel: CameraChannel) -> None:
        if channel.pipeline.revision != channel.kept_revision:
            channel.kept_revision = channel.pipeline.revision
            self._memory.keep(channel.name, channel.pipeline.dump())
            self._log_proposals(channel)

    def _log_proposals(self, channel: CameraChannel) -> None:
        proposed = frozenset(place.id for place in channel.pipeline.places if place.proposed)
        for place in channel.pipeline.places:
            if place.id in proposed - channel.proposed:
                log.info(
                    "camera %s: something was seen %d times in the same place and never moved; if nobody is there, say so "
                    "on the page or send %s to its suppress/set topic",
                    channel.name,
                    place.matches,
                    place.event_id,
                )
        channel.proposed = proposed

    def _publish_motion(self, channel: CameraChannel, moving: bool) -> None:
        if moving != channel.moving:
            channel.moving = moving
            self._findings.motion(channel.name, moving)
