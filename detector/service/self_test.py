"""The self-test: would each camera see a person now? A known person is pasted into its newest picture and looked for.

The result is kept for each hour of the day, so that it shows what a camera can see by day and by night.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from detector.analytics.crops import CropPlanner, detect_in_crops
from detector.analytics.pasted_person import Cutout, cut_out
from detector.analytics.visibility import Visibility, assess
from detector.config.schema import Camera
from detector.core.clock import Clock
from detector.core.errors import DetectorError
from detector.core.types import ArrayImage, Box, Detections, Frame, Image, JsonObject, Pixels

from .config_store import ConfigStore
from .model_probes import ModelProbes
from .person_samples import PersonSamples
from .status import FindChannel

log = logging.getLogger(__name__)

SELF_TEST_STATE = "self_test"
"""The name under which the outbox keeps it: camera names, hours of the day, the last `Result` of each."""
LOOK_S = 1.0  # between two looks at the live pictures
AGAIN_S = 600.0  # after a test that found nobody
FRESH_S = 10.0  # a picture older than this shows nothing of now
ANSWER_S = 10.0  # the model may be busy
_CROPS_PER_S = 4.0  # one crop for each picture: there is one thing in it to look at
_SAMPLE_STEP = 10  # of the sample clip's frames
_SAMPLE_SCORE = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestResult:
    """A camera's `visibility` at `wall`, epoch s; `own`: the known person was cut out of its own past visits."""

    wall: float
    visibility: Visibility
    own: bool
    height: int
    """Of the picture, px."""

    def document(self) -> dict[str, Any]:
        words = self.visibility.in_words(self.height)
        return {"at": round(self.wall, 3), **asdict(self.visibility), "own_person": self.own, "text": words}


class _NoAnswerError(DetectorError):
    """The model did not look at a picture."""


class SelfTest:
    """`run` in one thread; the rest from any, returns at once."""

    def __init__(
        self,
        *,
        store: ConfigStore,
        channel: FindChannel,
        probes: ModelProbes,
        folder: Path,
        clock: Clock,
        saved: Mapping[str, Any] | None,
        save: Callable[[str, JsonObject], None],
        sample: Callable[[], Iterable[Image]],
    ) -> None:
        self._store, self._channel, self._probes, self._folder = store, channel, probes, folder
        self._clock, self._save, self._sample = clock, save, sample
        self._lock = threading.Lock()
        self._hours: dict[str, dict[str, dict[str, Any]]] = _readable(saved)
        self._last: dict[str, SelfTestResult] = {}
        self._samples: dict[str, PersonSamples] = {}
        self._sample_person: Cutout | None = None
        self._due_since = self._latest_due(clock.wall())

    def run(self, stop: threading.Event) -> None:
        """Until `stop`: looks for people who may serve as the known person, and tests when it is time."""
        while not stop.wait(LOOK_S):
            for name in self._tested_cameras():
                self._observe(name)
            if self._store.config.self_test.enabled:
                self._test_due(stop)

    def problems(self) -> list[str]:
        """One plain line for each camera that would not see a person now."""
        with self._lock:
            last = dict(self._last)
        known = self._tested_cameras()
        return [
            _problem(name, result.visibility)
            for name, result in last.items()
            if name in known and not result.visibility.seen
        ]

    def status(self, camera: str) -> dict[str, Any] | None:
        """The camera's last result, and those of each hour of the day (`hours`); None before the first."""
        with self._lock:
            hours = self._hours.get(camera)
            if not hours:
                return None
            return {**max(hours.values(), key=lambda result: float(result["at"])), "hours": dict(hours)}

    def test(self, name: str) -> SelfTestResult | None:
        """Test a camera now; None where it gives no picture, or there is no known person, or no answer."""
        channel, settings = self._channel(name), self._store.config.cameras[name]
        scene = channel.view.scene() if channel is not None and channel.enabled else None
        if scene is None or self._clock.mono() - scene.frame.captured_mono > FRESH_S:
            return None
        samples = self._samples_of(name)
        own = samples.person()
        try:
            person = own or self._stranger()
            visibility = assess(
                scene.frame.image.bgr(),
                person,
                samples.standing(),
                lambda pixels, box: self._detect(scene.frame, pixels, box, settings),
                min_score=settings.alert.min_score,
            )
        except DetectorError as error:
            log.info("camera %s: no self-test: %s", name, error)
            return None
        result = SelfTestResult(
            wall=self._clock.wall(), visibility=visibility, own=own is not None, height=scene.frame.image.height
        )
        self._keep(name, result)
        return result

    def _test_due(self, stop: threading.Event) -> None:
        wall, now = self._clock.wall(), self._latest_due(self._clock.wall())
        due, self._due_since = now > self._due_since, now
        for name in self._tested_cameras():
            with self._lock:
                last = self._last.get(name)
            doubtful = last is not None and not last.visibility.seen and abs(wall - last.wall) >= AGAIN_S
            if (due or doubtful) and not stop.is_set():
                self.test(name)

    def _latest_due(self, wall: float) -> float:
        """When the latest test was due at `wall`, epoch s: `at` in local time, and every `every_h` hours after it."""
        settings = self._store.config.self_test
        local = datetime.fromtimestamp(wall).astimezone()
        hour, minute = (int(part) for part in settings.at.split(":"))
        first = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
        if first > local:
            first -= timedelta(days=1)
        step = settings.every_h * 3600.0
        return first.timestamp() + (wall - first.timestamp()) // step * step

    def _tested_cameras(self) -> tuple[str, ...]:
        """Files are left out: nobody covers a file."""
        cameras = self._store.config.cameras.items()
        return tuple(name for name, camera in cameras if camera.enabled and camera.kind != "file")

    def _observe(self, name: str) -> None:
        channel = self._channel(name)
        scene = channel.view.scene() if channel is not None else None
        if scene is not None:
            self._samples_of(name).observe(scene)

    def _samples_of(self, name: str) -> PersonSamples:
        if name not in self._samples:
            keep_days = self._store.config.history.keep_days
            self._samples[name] = PersonSamples(self._folder / f"{name}.npz", clock=self._clock, keep_days=keep_days)
        return self._samples[name]

    def _detect(self, frame: Frame, pixels: Pixels, box: Box | None, settings: Camera) -> tuple[list[Box], list[float]]:
        """People in a picture; `box` too is looked at as what moves in a camera's picture is."""
        found = self._answer(replace(frame, image=ArrayImage(pixels)))
        if box is not None and settings.motion.enabled and settings.motion.crops_per_s:
            planner = CropPlanner(per_s=_CROPS_PER_S)
            crops = planner.plan(found, regions=[box], followed=[], size=self._probes.input_size)
            found = detect_in_crops(found, crops, lambda frames: [self._answer(one) for one in frames])
        boxes: list[Box] = [(float(a), float(b), float(c), float(d)) for a, b, c, d in found.boxes]
        return boxes, [float(score) for score in found.scores]

    def _answer(self, frame: Frame) -> Detections:
        found = self._probes.detect(frame, timeout_s=ANSWER_S)
        if found is None:
            raise _NoAnswerError("the model did not look at the picture")
        return found

    def _stranger(self) -> Cutout:
        """Somebody of the sample clip; raises DetectorError where it cannot be had or shows nobody."""
        if self._sample_person is None:
            self._sample_person = self._cut_out_of_sample()
        return self._sample_person

    def _cut_out_of_sample(self) -> Cutout:
        best: tuple[float, Image, Box] | None = None
        for number, image in enumerate(self._sample()):
            if number % _SAMPLE_STEP:
                continue
            found = self._answer(Frame(camera="", seq=number, captured_mono=0.0, captured_wall=0.0, image=image))
            for box, score in zip(found.boxes, found.scores, strict=True):
                x1, y1, x2, y2 = (float(side) for side in box)
                size = float(score) * (y2 - y1)
                if score >= _SAMPLE_SCORE and (best is None or size > best[0]):
                    best = size, image, (x1, y1, x2, y2)
        person = cut_out(best[1].bgr(), best[2], own=False) if best is not None else None
        if person is None:
            raise _NoAnswerError("nobody was found in the sample clip, and nobody has passed the camera yet")
        return person

    def _keep(self, name: str, result: SelfTestResult) -> None:
        hour = str(datetime.fromtimestamp(result.wall).astimezone().hour)
        with self._lock:
            before = self._last.get(name)
            self._last[name] = result
            hours = {**self._hours.get(name, {}), hour: result.document()}
            self._hours = {**self._hours, name: hours}
            self._save(SELF_TEST_STATE, self._hours)
        if not result.visibility.seen and (before is None or before.visibility.seen):
            log.warning("self-test: %s", _problem(name, result.visibility))
        elif before is not None and result.visibility.seen and not before.visibility.seen:
            log.info("self-test: camera %s would see a person again", name)


def _problem(camera: str, visibility: Visibility) -> str:
    usual = f"a person of the usual height there, {visibility.usual:.0%} of the picture's,"
    from_which = "no size is" if visibility.smallest is None else f"one of {visibility.smallest:.0%} or more would be"
    return f"camera {camera} would not see {usual} now: {visibility.reason}; {from_which} found"


def _readable(saved: Mapping[str, Any] | None) -> dict[str, dict[str, dict[str, Any]]]:
    """What was kept, as far as it has the form that `SelfTest` keeps."""
    return {
        name: {hour: dict(result) for hour, result in hours.items() if isinstance(result, Mapping) and "at" in result}
        for name, hours in (saved or {}).items()
        if isinstance(hours, Mapping)
    }
