"""A recorded clip through the service's own slot, gate, tracker, rules and alarm, on media time.

Nothing here looks at a clock: a frame's media seconds are both its monotonic and its wall time, so
the same clip, model and config give the same lines, however busy the machine is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from detector.alerts.payloads import alert_payload, event_payload
from detector.analytics.alarm import Alarm
from detector.analytics.crops import look_closer
from detector.analytics.pipeline import CameraPipeline
from detector.capture.slot import LatestSlots
from detector.capture.source import Grab

from .config import Config
from .errors import EndOfStreamError, SourceError
from .types import Alert, Detections, EventChange, Frame

Report = Callable[[int, int | None, str], None]
Line = dict[str, Any]


class Clip(Protocol):
    """What `replay` needs of a source that is open already; the caller closes it."""

    def read(self) -> Grab: ...


class Detector(Protocol):
    @property
    def input_size(self) -> tuple[int, int]: ...

    def detect(self, frame: Frame) -> Detections: ...


class _MediaClock:
    """Stands where the newest frame stands."""

    def __init__(self) -> None:
        self.now = 0.0

    def mono(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


def replay(
    *, config: Config, camera: str, source: Clip, detector: Detector, progress: Report | None = None
) -> Iterator[Line]:
    """The lines `{"topic": "events" | "alerts", "payload": ...}` that the service would publish.

    `camera` (KeyError if unknown) says whose settings hold. `progress` gets frames read so far. The
    clip's end ends all open events. Raises SourceError on a damaged clip, InferenceError.
    """
    session = _Session(config=config, camera=camera, detector=detector)
    for frame in due_frames(camera, config.cameras[camera].detect_fps, source, progress):
        yield from session.serve(frame)
    yield from session.close()


def due_frames(camera: str, detect_fps: float, source: Clip, progress: Report | None) -> Iterator[Frame]:
    """The frames that the live slot would hand out to a worker that always has time."""
    clock = _MediaClock()
    slots = LatestSlots(clock=clock)
    slots.add(camera, detect_fps)
    for frame in _frames(camera, source):
        clock.now = frame.captured_mono
        if held := slots.take(0.0):
            yield held  # came too early for its turn, and no other came in time
        slots.put(frame)
        if due := slots.take(0.0):
            yield due
        if progress:
            progress(frame.seq + 1, None, f"replaying {clock.now:.0f} s")
    clock.now += 2.0 / detect_fps  # longer than any frame is held
    if held := slots.take(0.0):
        yield held


def _frames(camera: str, source: Clip) -> Iterator[Frame]:
    seq = 0
    while True:
        try:
            grab = source.read()
        except EndOfStreamError:
            return
        if grab.media_s is None:
            raise SourceError("the source has no time stamps: only a recorded clip can be replayed")
        yield Frame(camera=camera, seq=seq, captured_mono=grab.media_s, captured_wall=grab.media_s, image=grab.image)
        seq += 1


class _Session:
    """One run: the worker's order of things without its threads."""

    def __init__(self, *, config: Config, camera: str, detector: Detector) -> None:
        self._device = config.device.id
        self._detector = detector
        self._pipeline = CameraPipeline(name=camera, settings=config.cameras[camera], device_id=self._device)
        self._alarm = Alarm(settings=config.alarm)
        self._published = 0

    def serve(self, frame: Frame) -> Iterator[Line]:
        t = frame.captured_mono
        yield from self._alerts(self._alarm.tick(t), t)
        if not self._pipeline.wants(frame):
            return
        found = self._detector.detect(frame)
        views = self._pipeline.close_ups(found, self._detector.input_size)
        found = look_closer(found, views, lambda frames: [self._detector.detect(one) for one in frames])
        outcome = self._pipeline.digest(found, armed_as=self._alarm.armed_as)
        yield from self._changes(outcome.changes)
        for alert in outcome.alerts:
            yield from self._alerts(self._alarm.intrusion(alert, t), t)

    def close(self) -> Iterator[Line]:
        yield from self._changes(self._pipeline.close().changes)

    def _changes(self, changes: Sequence[EventChange]) -> Iterator[Line]:
        for change in changes:
            yield {"topic": "events", "payload": event_payload(change, device=self._device)}

    def _alerts(self, alerts: Sequence[Alert], t: float) -> Iterator[Line]:
        for alert in alerts:
            self._published += 1
            payload = alert_payload(alert, device=self._device, seq=self._published, published_wall=t)
            yield {"topic": "alerts", "payload": payload}
