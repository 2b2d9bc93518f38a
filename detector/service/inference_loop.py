"""The inference loop: the most urgent frame, gate, model, tracker, rules; what follows is handed over.

One thread runs it and owns the model, CUDA objects included.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from detector.analytics.crops import detect_in_crops
from detector.analytics.pipeline import CameraPipeline, PipelineOutcome
from detector.capture.idle_cameras import IdleCameras
from detector.capture.latest_frames import LatestFrames
from detector.config.schema import Camera
from detector.core.clock import Clock
from detector.core.errors import DetectorError, InferenceError
from detector.core.stats import Percentiles
from detector.core.types import Detections, EventChange, Frame
from detector.inference.multi_size import AnyDetector

from .alarm_controller import AlarmController
from .live_view import LiveScene, LiveView

log = logging.getLogger(__name__)

TAKE_S = 0.25  # how long to wait for a frame before looking at timers
SPARE_S = 0.5  # idle time of inference that is kept for closer looks, at most
FAILURES_BEFORE_RELOAD = 3
RELOAD_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # waits between reloads of a model that keeps failing

Load = Callable[[], AnyDetector]
_T = TypeVar("_T")


class FindingsSink(Protocol):
    """Where the worker's findings go; never blocks."""

    def change(self, change: EventChange) -> None: ...

    def people(self, camera: str, count: int) -> None: ...

    def motion(self, camera: str, moving: bool) -> None: ...


@dataclass(slots=True, kw_only=True)
class CameraChannel:
    """One camera's place in the workshop."""

    name: str
    pipeline: CameraPipeline
    view: LiveView = field(default_factory=LiveView)
    enabled: bool = True
    people: int | None = None
    moving: bool | None = None


class Worker:
    """See the module; `add`, `remove`, `switch`, `swap` may be called from any thread."""

    def __init__(
        self,
        *,
        slots: LatestFrames,
        desk: AlarmController,
        post: FindingsSink,
        clock: Clock,
        load: Load,
        device_id: str,
        attention: IdleCameras | None = None,
    ) -> None:
        self._slots, self._desk, self._post, self._clock = slots, desk, post, clock
        self._load, self._device_id = load, device_id
        self._attention = attention or IdleCameras()
        self._rooms: dict[str, CameraChannel] = {}
        self._lock = threading.Lock()  # held over a frame's rules and over every change of rooms
        self._loaded = threading.Event()
        self._load_error: Exception | None = None
        self._next: tuple[AnyDetector, Load] | None = None
        self._failures = 0
        self._reloads = 0
        self._spare_s = 0.0
        self.detector: AnyDetector | None = None
        self.error: str | None = None
        self.note: str | None = None  # why this model and no faster one, for the status
        self.failing_since: float | None = None
        self.infer_ms = Percentiles()
        self.progress_mono = clock.mono()

    # From other threads

    @property
    def loading(self) -> bool:
        """The first model is not there yet."""
        return not self._loaded.is_set()

    def wait_loaded(self, timeout_s: float) -> None:
        """Wait for the model; raises what loading it raised, or InferenceError on a time-out."""
        if not self._loaded.wait(timeout_s):
            raise InferenceError(f"the model was not loaded within {timeout_s:.0f} s")
        if self._load_error is not None:
            raise self._load_error

    def add(self, name: str, settings: Camera, *, enabled: bool) -> None:
        """Open, or open anew with other settings, a camera's room."""
        pipeline = CameraPipeline(name=name, settings=settings, device_id=self._device_id)
        with self._lock:
            old = self._rooms.get(name)
            if old is not None:
                self._hand_over(old, old.pipeline.close())
            self._rooms[name] = CameraChannel(
                name=name, pipeline=pipeline, enabled=enabled, view=old.view if old else LiveView()
            )

    def remove(self, name: str) -> None:
        """Close a camera's room; its open events end."""
        with self._lock:
            room = self._rooms.pop(name, None)
            if room is not None:
                self._hand_over(room, room.pipeline.close())

    def end_visits(self, name: str) -> None:
        """The camera went dark: its open events end with the last sight of each person."""
        with self._lock:
            room = self._rooms.get(name)
            if room is not None:
                self._hand_over(room, room.pipeline.close())

    def switch(self, name: str, *, enabled: bool) -> None:
        """Detection of one camera on or off; raises KeyError."""
        with self._lock:
            room = self._rooms[name]
            room.enabled = enabled
            if not enabled:
                self._hand_over(room, room.pipeline.close())

    def room(self, name: str) -> CameraChannel | None:
        with self._lock:
            return self._rooms.get(name)

    def swap(self, detector: AnyDetector, load: Load) -> None:
        """Use another model from the next frame on; one that cannot run its warm-up is dropped again."""
        with self._lock:
            unused, self._next = self._next, (detector, load)
        if unused is not None:
            unused[0].close()

    # The loop

    def run(self, stop: threading.Event) -> None:
        """Until `stop`; every open event ends with it."""
        try:
            self.detector = self._load()
            self.detector.warm_up()
        except DetectorError as error:
            self._load_error = error
            return
        finally:
            self.progress_mono = self._clock.mono()
            self._loaded.set()
        while not stop.is_set():
            self._turn(stop)
        with self._lock:
            for room in self._rooms.values():
                self._hand_over(room, room.pipeline.close())
        if self.detector is not None:
            self.detector.close()

    def _turn(self, stop: threading.Event) -> None:
        self.progress_mono = self._clock.mono()
        self._take_new_model()
        self._desk.tick()
        begun = self._clock.mono()
        frame = self._slots.take(TAKE_S)
        self._spare_s = min(SPARE_S, self._spare_s + self._clock.mono() - begun)
        if frame is None:
            return
        if self.detector is not None and self.detector.max_batch > 1:
            self._serve_together(self.detector, frame, stop)
            return
        try:
            self._serve(frame)
        except InferenceError as error:
            self._note_failure(error, stop)
        except Exception:
            # One camera's fault must not take the others' eyes.
            log.exception("camera %s: a frame could not be processed", frame.camera)

    def _take_new_model(self) -> None:
        with self._lock:
            fresh, self._next = self._next, None
        if fresh is None:
            return
        detector, load = fresh
        try:
            detector.warm_up()
        except DetectorError as error:
            log.warning("the other model cannot be run, so the old one stays: %s", error)
            self.note = f"{detector.backend} could not be run: {error}"
            detector.close()
            return
        old, self.detector, self._load = self.detector, detector, load
        self._recovered()
        if old is not None:
            old.close()

    def _admitted(self, frame: Frame) -> CameraChannel | None:
        """The frame's room where the model is to look at it; elsewhere it is only shown."""
        with self._lock:
            room = self._rooms.get(frame.camera)
            wanted = room is not None and room.enabled and room.pipeline.should_detect(frame)
        if room is not None and not wanted:
            self._show_only(room, frame)
        return room if wanted else None

    def _serve(self, frame: Frame) -> None:
        room = self._admitted(frame)
        if room is None:
            return
        assert self.detector is not None
        detections = self.detector.detect(frame)
        self.infer_ms.add(detections.infer_ms)
        self._recovered()
        self._finish(room, detections)

    def _finish(self, room: CameraChannel, detections: Detections) -> None:
        self._follow(room, self._detect_in_crops(room, detections))

    def _detect_in_crops(self, room: CameraChannel, found: Detections) -> Detections:
        """`found` and what closer looks add to it: in idle time alone, and while no frame waits."""
        assert self.detector is not None
        if self._spare_s * 1e3 < found.infer_ms or self._slots.waiting():
            return found
        with self._lock:
            views = room.pipeline.plan_crops(found, self.detector.input_size)
        begun = self._clock.mono()
        found = detect_in_crops(found, views, self.detector.detect_many)
        self._spare_s -= self._clock.mono() - begun
        room.view.close_ups += len(views)
        return found

    # Several cameras in one run of the model, where it takes several

    def _serve_together(self, detector: AnyDetector, first: Frame, stop: threading.Event) -> None:
        """`first`, and the most urgent frames of other cameras that wait by now."""
        admitted = self._gathered(first, detector.max_batch)
        if not admitted:
            return
        try:
            found = detector.detect_many([frame for _, frame in admitted])
        except InferenceError as error:
            self._note_failure(error, stop)
            return
        failures = [error for error in found if isinstance(error, InferenceError)]
        for (room, frame), result in zip(admitted, found, strict=True):
            if isinstance(result, Detections):
                self.infer_ms.add(result.infer_ms)
                # Closer looks for one would keep the others' alerts waiting.
                finish = self._finish if len(admitted) == 1 else self._follow
                self._kept_apart(frame, partial(finish, room, result))
            elif not isinstance(result, InferenceError):
                log.error("camera %s: a frame could not be processed", frame.camera, exc_info=result)
        # One run, one failure at most: nonsense about one picture beside good ones is no reason to load anew.
        if any(isinstance(result, Detections) for result in found):
            self._recovered()
        if failures:
            self._note_failure(failures[0], stop)

    def _gathered(self, first: Frame, most: int) -> list[tuple[CameraChannel, Frame]]:
        """At most `most` frames for the model, one a camera, so that each camera's stay in order."""
        admitted: list[tuple[CameraChannel, Frame]] = []
        asked: set[str] = set()
        frame: Frame | None = first
        while frame is not None:
            asked.add(frame.camera)
            room = self._kept_apart(frame, partial(self._admitted, frame))
            if room is not None:
                admitted.append((room, frame))
            frame = self._slots.take_waiting(asked) if len(admitted) < most else None
        return admitted

    def _kept_apart(self, frame: Frame, step: Callable[[], _T]) -> _T | None:
        """One camera's fault must not take the others' eyes."""
        try:
            return step()
        except Exception:
            log.exception("camera %s: a frame could not be processed", frame.camera)
            return None

    def _show_only(self, room: CameraChannel, frame: Frame) -> None:
        scene = room.view.scene()
        people = scene.people if scene is not None and room.enabled else ()
        moving = room.enabled and room.pipeline.moving
        room.view.show(LiveScene(frame=frame, people=people, moving=moving))
        self._publish_motion(room, moving)
        self._attention.set(room.name, room.enabled and room.pipeline.idle)

    def _follow(self, room: CameraChannel, detections: Detections) -> None:
        with self._lock:
            if self._rooms.get(room.name) is not room:
                return  # reconfigured meanwhile: the new room starts with the next frame
            now, frame = self._clock.mono(), detections.frame
            outcome = room.pipeline.process(detections, armed_as=self._desk.armed_as, confirmed_mono=now)
            room.view.count(now=now, captured_mono=frame.captured_mono)
            room.view.show(LiveScene(frame=frame, people=outcome.tracks, moving=outcome.moving))
            self._hand_over(room, outcome)

    def _hand_over(self, room: CameraChannel, outcome: PipelineOutcome) -> None:
        for change in outcome.changes:
            self._post.change(change)
        for alert in outcome.alerts:
            self._desk.intrusion(alert)
        if outcome.people != room.people:
            room.people = outcome.people
            self._post.people(room.name, outcome.people)
        self._publish_motion(room, outcome.moving)
        self._attention.set(room.name, room.enabled and room.pipeline.idle)

    def _publish_motion(self, room: CameraChannel, moving: bool) -> None:
        if moving != room.moving:
            room.moving = moving
            self._post.motion(room.name, moving)

    def _recovered(self) -> None:
        if self.error is not None:
            log.warning("inference works again")
        self.error = self.failing_since = None
        self._failures = self._reloads = 0

    def _note_failure(self, error: InferenceError, stop: threading.Event) -> None:
        """A run that failed or gave nonsense: say so, and after a few in a row load the model anew."""
        if self.error is None:
            log.error("inference fails: %s", error)
            self.failing_since = self._clock.mono()
        self.error = str(error)
        self._failures += 1
        if self._failures < FAILURES_BEFORE_RELOAD:
            return
        self._failures = 0
        stop.wait(RELOAD_S[min(self._reloads, len(RELOAD_S) - 1)])
        self._reloads += 1
        self._reload()

    def _reload(self) -> None:
        why = self.error
        try:
            fresh = self._load()
            fresh.warm_up()
        except DetectorError as error:
            self.error = str(error)
            return
        old, self.detector = self.detector, fresh
        if old is not None:
            old.close()
            # For good, not until the next frame: why it is another engine is asked hours later.
            now_serves = f"{fresh.backend} serves instead" if fresh.backend != old.backend else "it was loaded anew"
            self.note = f"{old.backend} failed ({why}): {now_serves}"
        log.warning("the model was loaded anew after failures")
