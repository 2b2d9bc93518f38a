"""A recorded clip through the service's own slot, gate, tracker, rules and alarm, on media time.

Nothing here looks at a clock: a frame's media seconds are both its monotonic and its wall time, so
the same clip, model and config give the same lines, however busy the machine is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from detector.alerts.payloads import alert_payload, event_payload, published
from detector.analytics.alarm import Alarm
from detector.analytics.crops import detect_in_crops
from detector.analytics.evidence import EvidenceLook
from detector.analytics.evidence_curves import EvidenceCurves
from detector.analytics.pipeline import CameraPipeline
from detector.capture.clip import ClipSource, due_frames
from detector.config.schema import Config
from detector.core.progress import Progress
from detector.core.types import Alert, Detections, EventChange, Frame

Line = dict[str, Any]


class Detector(Protocol):
    @property
    def input_size(self) -> tuple[int, int]: ...

    def detect(self, frame: Frame) -> Detections: ...


def replay(
    *,
    config: Config,
    camera: str,
    source: ClipSource,
    detector: Detector,
    progress: Progress | None = None,
    curves: EvidenceCurves | None = None,
    explain: bool = False,
) -> Iterator[Line]:
    """The lines `{"topic": "events" | "alerts", "payload": ...}` that the service would publish.

    `curves` are the model's. With `explain`, lines of the topic "explain" say what each look at an undecided person told.
    `camera` (KeyError if unknown) says whose settings hold. `progress` gets frames read so far. The
    clip's end ends all open events. Raises SourceError on a damaged clip, InferenceError.
    """
    session = _Session(config=config, camera=camera, detector=detector, curves=curves, explain=explain)
    rate = config.cameras[camera].detect_fps
    for frame in due_frames(camera, rate, source, progress, factor=session.rate_factor):
        yield from session.serve(frame)
    yield from session.close()


class _Session:
    """One run: the worker's order of things without its threads."""

    def __init__(
        self, *, config: Config, camera: str, detector: Detector, curves: EvidenceCurves | None, explain: bool
    ) -> None:
        self._device, self._explain = config.device.id, explain
        self._detector = detector
        self._pipeline = CameraPipeline(
            name=camera, settings=config.cameras[camera], device_id=self._device, curves=curves
        )
        self._alarm = Alarm(settings=config.alarm)
        self._published = 0

    def rate_factor(self) -> float:
        return self._pipeline.rate_factor

    def serve(self, frame: Frame) -> Iterator[Line]:
        t = frame.captured_mono
        yield from self._alerts(self._alarm.tick(t), t)
        if not self._pipeline.should_detect(frame):
            return
        found = self._detector.detect(frame)
        views = self._pipeline.plan_crops(found, self._detector.input_size)
        found = detect_in_crops(found, views, lambda frames: [self._detector.detect(one) for one in frames])
        outcome = self._pipeline.process(found, armed_as=self._alarm.armed_as)
        if self._explain:
            yield from ({"topic": "explain", "payload": _explained(look)} for look in outcome.looks)
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
            payload = published(alert_payload(alert, device=self._device, seq=self._published), wall=t)
            yield {"topic": "alerts", "payload": payload}


def _explained(look: EvidenceLook) -> Line:
    """`score` 0 where the track was not found; `sum` is the evidence with this look, `bar` what confirms."""
    return {
        "t": round(look.mono, 3),
        "track_id": look.track_id,
        "score": round(look.score, 3),
        "box": [round(side, 1) for side in look.box],
        "input_height": round(look.height, 1),
        "dark": look.dark,
        "sum": round(look.total, 3),
        "bar": round(look.bar, 3),
    }
