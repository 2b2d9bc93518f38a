"""`backend: auto` on a CPU: the model serves at once as it is, its forms are measured beside it, the best takes over.

First the input sizes that the cameras' pictures ask for are made, persons only: exact, and half of the cost. Then
the forms are measured, in a child process at the lowest priority. INT8 is tried only once the cameras have shown enough
persons: their pictures are kept in memory, never written to the disk.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from detector.config.model_settings import Model
from detector.core import processes
from detector.core.clock import Clock
from detector.core.errors import DetectorError
from detector.inference.input_sizes import InputSize, best_input_size
from detector.inference.multi_size import AnyDetector, MultiSizeDetector
from detector.models.autotune.candidates import counts_threads
from detector.models.autotune.choice import Choice, place, scenes_of
from detector.models.autotune.loader import AutotunedLoader, kept_choice
from detector.models.autotune.samples import SURE, CalibrationSet, SampleCollector, SampleQuota
from detector.models.autotune.status import AutotuneStatus
from detector.models.autotune.worker_process import encode_request
from detector.models.graph.variants import find
from detector.models.loading import resolve, shapeable
from detector.models.registry import Resolved

from .config_store import ConfigStore
from .health import CameraStats
from .model_host import Load
from .status import FindChannel

log = logging.getLogger(__name__)

LOOK_S = 1.0
PREPARE_S, SETTLE_S = 2.0, 15.0  # after a start or a change, until cameras are there and the first rush is over
PREPARE_NICE, NICE = 10, 19
COMMAND = (sys.executable, "-m", "detector.models.autotune")
InputSizes = tuple[InputSize, ...]


class ServedModel(Protocol):
    """The part of ModelHost that is needed here."""

    @property
    def full(self) -> AnyDetector | None: ...

    @property
    def loading(self) -> bool: ...

    def swap(self, detector: AnyDetector, load: Load, *, wanted: Callable[[], bool]) -> bool: ...


class Autotuner:
    """A thread. What it comes to is in the cache, so that the next start has it at once."""

    def __init__(
        self,
        *,
        store: ConfigStore,
        model: ServedModel,
        cameras: CameraStats,
        channel: FindChannel,
        status: AutotuneStatus,
        clock: Clock,
        command: Sequence[str] = COMMAND,
        prepare_s: float = PREPARE_S,
        settle_s: float = SETTLE_S,
        need: SampleQuota | None = None,
        resolved: Callable[[Model], Resolved] = resolve,
    ) -> None:
        self._store, self._host, self._cameras, self._channel = store, model, cameras, channel
        self._status, self._clock, self._command = status, clock, command
        self._prepare_s, self._settle_s, self._need, self._resolve = prepare_s, settle_s, need, resolved
        self._model: Model | None = None
        self._found: Resolved | None = None
        self._collector: SampleCollector | None = None
        self._choice: Choice | None = None
        self._scenes: dict[str, str] = {}
        self._tried: set[InputSize] = set()
        self._prepared: set[InputSize] = set()
        self._kept: Path | None = None
        self._stamp: tuple[int, int] | None = None
        self._calm = self._due = 0.0

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._assess(stop)
            except Exception as error:
                # Whatever goes wrong here, the model that serves is not touched; the next start tries again.
                log.warning(
                    "the model's forms were not measured: %s", error, exc_info=not isinstance(error, DetectorError)
                )
                self._status.notify("off", f"measuring failed: {error}")
                self._found = None
            stop.wait(LOOK_S)

    def _assess(self, stop: threading.Event) -> None:
        now, model = self._clock.mono(), self._store.config.model
        if model != self._model:
            self._begin(model, now)
        if self._found is None or self._host.loading or now < self._calm:
            return
        base, shapes = self._shapes()
        if not shapes:
            return
        if self._prepared != set(shapes):
            self._prepared = set(shapes)
            self._prepare(model, self._found, shapes, stop)
        if model.backend == "auto":
            self._choose(model, base, shapes, stop)
        elif counts_threads(model) and now >= self._due:
            self._count_threads(model, shapes, stop)

    def _count_threads(self, model: Model, shapes: InputSizes, stop: threading.Event) -> None:
        """Of a configured backend; what was measured once holds for every size."""
        if (self._choice is None or not self._choice.results) and self._tried != set(shapes):
            self._tried = set(shapes)
            self._tune(model, shapes, None, None, stop)

    def _choose(self, model: Model, base: InputSize, shapes: InputSizes, stop: threading.Event) -> None:
        if self._news(shapes):
            self._take(model, shapes)
        choice = self._choice
        if choice is None or not choice.covers(shapes):
            if self._tried != set(shapes) and self._clock.mono() >= self._due:
                self._tried = set(shapes)
                self._tune(model, shapes, choice, None, stop)
            return
        if self._scenes != (scenes := scenes_of(self._store.config)):
            self._scenes = scenes
            if not choice.serves(scenes):
                self._take(model, shapes)  # made from pictures of other cameras
        self._gather(model, choice, base, shapes, stop)

    def _news(self, shapes: InputSizes) -> bool:
        """Whether `detector tune` has kept another choice meanwhile, one for these cameras."""
        assert self._kept is not None
        stamp = _stamp(self._kept)
        if stamp == self._stamp:
            return False
        self._stamp, kept = stamp, kept_choice(self._kept)
        if kept is None or kept == self._choice:
            return False
        return kept.covers(shapes) and kept.serves(scenes_of(self._store.config))

    def _begin(self, model: Model, now: float) -> None:
        self._model, self._collector, self._tried, self._prepared = model, None, set(), set()
        self._calm, self._due = now + self._prepare_s, now + self._settle_s
        self._found, self._choice, self._scenes = None, None, scenes_of(self._store.config)
        found = self._resolve(model)
        if not shapeable(model, found):
            self._status.notify("off", "an engine, or a model that keys of the config describe, runs as it is")
            return
        self._kept = place(model, found)
        self._found, self._stamp, self._choice = found, _stamp(self._kept), kept_choice(self._kept)
        if model.backend != "auto":
            self._note_configured(model)
        elif model.precision not in ("auto", "fp32"):
            self._status.notify("off", f"precision {model.precision} is configured")
            self._found = None
        else:
            self._status.notify("waiting", "for the cameras")

    def _note_configured(self, model: Model) -> None:
        counted = self._choice if counts_threads(model) and self._choice is not None and self._choice.results else None
        self._status.chose(counted)
        self._status.notify("off" if counted is None else "settled", f"backend {model.backend} is configured")

    def _shapes(self) -> tuple[InputSize, InputSizes]:
        """The model's own size, and those that the cameras' pictures ask for, the most wanted first."""
        detector = self._host.full
        if detector is None:
            return (0, 0), ()
        base = detector.base if isinstance(detector, MultiSizeDetector) else detector.input_size
        sizes = [(each.width, each.height) for each in self._cameras().values() if each.width and each.height]
        counted = Counter(best_input_size(base, *size) for size in sizes)
        return base, tuple(shape for shape, _ in counted.most_common())

    def _gather(self, model: Model, choice: Choice, base: InputSize, shapes: InputSizes, stop: threading.Event) -> None:
        """Pictures for INT8, until there are enough of every camera; then INT8 is tried."""
        scenes = scenes_of(self._store.config)
        if model.precision != "auto" or choice.knows(scenes):
            self._collector = None
            self._status.notify("settled")
            return
        if self._collector is None:
            self._collector = SampleCollector(base=base, need=self._need)
        for scene, name in scenes.items():
            channel = self._channel(name)
            shown = None if channel is None else channel.view.scene()
            if shown is not None:
                visits = {track.id for track in shown.people if track.matched and track.score >= SURE}
                self._collector.observe(
                    scene, shown.frame.image, visits, now=shown.frame.captured_mono, cameras=len(scenes)
                )
        missing = self._collector.missing(scenes)
        if missing is not None:
            self._status.notify("waiting", f"INT8 is tried once there are {missing}")
            return
        samples, self._collector = self._collector.evidence(scenes), None
        self._tune(model, shapes, choice, samples, stop)

    def _prepare(self, model: Model, found: Resolved, shapes: InputSizes, stop: threading.Event) -> None:
        if all(find(found.path, shape=shape) is not None for shape in shapes):
            return
        order = encode_request(model, shapes, measure=False)
        if processes.run(self._command, stop, nice=PREPARE_NICE, given=order) is not None:
            self._take(model, shapes)

    def _tune(
        self,
        model: Model,
        shapes: InputSizes,
        before: Choice | None,
        samples: CalibrationSet | None,
        stop: threading.Event,
    ) -> None:
        assert self._found is not None
        log.info("measuring the forms of %s beside the service", model.name)
        self._status.notify("measuring")
        wanted = tuple(dict.fromkeys((*shapes, *(() if before is None else before.shapes))))
        if processes.run(self._command, stop, nice=NICE, given=encode_request(model, wanted, samples)) is None:
            return
        self._take(model, shapes)

    def _gave_up(self, choice: Choice) -> None:
        self._choice = choice
        self._status.chose(choice)

    def _take(self, model: Model, shapes: InputSizes) -> None:
        """What is in the cache now serves from the next frame on; loaded and warm before it is handed over."""
        found = self._found
        assert found is not None
        scenes = tuple(scenes_of(self._store.config))
        load = AutotunedLoader(model, found, scenes=scenes, shapes=shapes, on_change=self._gave_up)
        self._choice = kept_choice(place(model, found))
        detector = load()
        detector.warm_up()
        taken = f"{detector.backend} {detector.precision}"
        # Another model may have been configured meanwhile.
        if not self._host.swap(detector, load, wanted=lambda: self._store.config.model == model):
            return
        if model.backend == "auto":
            self._status.chose(load.choice)
        else:
            self._note_configured(model)
        log.info("%s is used from the next frame on", taken)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Of the file as it was put there last; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
