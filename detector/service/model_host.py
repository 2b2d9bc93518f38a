"""The model that serves: loaded, replaced while frames come in, loaded again after it fails.

Under heat or load a smaller one may stand in for it (`reduce`, `restore`); the full one stays loaded meanwhile.

The inference thread owns the detector, CUDA objects included: what the "inference thread" methods do is done there
alone. Everything else may be called from any thread.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from detector.core.clock import Clock
from detector.core.errors import DetectorError, InferenceError
from detector.core.stats import Percentiles
from detector.inference.multi_size import AnyDetector

from .process import release_memory

log = logging.getLogger(__name__)

FAILURES_BEFORE_RELOAD = 3
RELOAD_WINDOW_S = 300.0
RELOAD_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # waits before a reload, by those of the last five minutes: at most ten

Load = Callable[[], AnyDetector]


_Loaded = tuple[AnyDetector, Load]


class ModelHost:
    """`load` makes the detector, also each time that it must be loaded again; it may raise DetectorError."""

    def __init__(self, *, load: Load, clock: Clock) -> None:
        self._load, self._clock = load, clock
        self._lock = threading.Lock()
        self._loaded = threading.Event()
        self._load_error: Exception | None = None
        self._next: _Loaded | None = None
        self._next_reduced: _Loaded | None = None
        self._full: _Loaded | None = None  # while a smaller model stands in
        self._restoring = False
        self._failures = 0
        self._reloaded: deque[float] = deque()  # monotonic s; a run that works in between makes no new beginning
        self.detector: AnyDetector | None = None
        self.error: str | None = None
        self.note: str | None = None  # why this model and no faster one, for the status
        self.failing_since: float | None = None  # monotonic s
        self.infer_ms = Percentiles()

    # Any thread

    @property
    def loading(self) -> bool:
        """Whether the first model is still on its way."""
        return not self._loaded.is_set()

    def wait_loaded(self, timeout_s: float) -> None:
        """Wait for the model; raises what loading it raised, or InferenceError on a time-out."""
        if not self._loaded.wait(timeout_s):
            raise InferenceError(f"the model was not loaded within {timeout_s:.0f} s")
        if self._load_error is not None:
            raise self._load_error

    def swap(self, detector: AnyDetector, load: Load, *, wanted: Callable[[], bool] = lambda: True) -> bool:
        """Use another model from the next frame on; one that cannot run its warm-up is dropped again.

        `wanted` is asked last: False, and the model is closed and not used. Returns what it said.
        """
        offered = (detector, load)
        with self._lock:
            taken = wanted()
            unused, self._next = (self._next, offered) if taken else (offered, self._next)
        if unused is not None:
            unused[0].close()
        return taken

    @property
    def full(self) -> AnyDetector | None:
        """The model that is meant to serve, whether or not a smaller one stands in for it."""
        full = self._full
        return self.detector if full is None else full[0]

    @property
    def reduced(self) -> bool:
        """Whether a smaller model stands in, or is about to."""
        with self._lock:
            return self._next_reduced is not None or (self._full is not None and not self._restoring)

    def reduce(self, detector: AnyDetector, load: Load) -> None:
        """From the next frame on `detector` stands in for the full model, until `restore` or until it fails."""
        with self._lock:
            unused, self._next_reduced = self._next_reduced, (detector, load)
            self._restoring = False
        if unused is not None:
            unused[0].close()

    def restore(self) -> None:
        """The full model serves again from the next frame on; nothing to do where it does."""
        with self._lock:
            unused, self._next_reduced = self._next_reduced, None
            self._restoring = self._full is not None
        if unused is not None:
            unused[0].close()

    # Inference thread

    def open(self) -> bool:
        """Load the first model; False where that failed, and `wait_loaded` raises why."""
        try:
            self.detector = self._load()
            self.detector.warm_up()
        except DetectorError as error:
            self._load_error = error
            return False
        finally:
            self._loaded.set()
        return True

    def close(self) -> None:
        if self._full is not None:
            self._full[0].close()
        if self.detector is not None:
            self.detector.close()

    def take_next(self) -> None:
        """Put in place what `swap`, `reduce` and `restore` asked for."""
        with self._lock:
            fresh, self._next = self._next, None
            smaller, self._next_reduced = self._next_reduced, None
            restoring, self._restoring = self._restoring, False
        if restoring:
            self._drop_reduced()
        if fresh is not None and self._runs(fresh[0]):
            self._take(fresh)
        if smaller is not None and self._runs(smaller[0]):
            self._stand_in(smaller)

    def _runs(self, detector: AnyDetector) -> bool:
        """Whether it runs its warm-up; else it is closed."""
        try:
            detector.warm_up()
        except DetectorError as error:
            log.warning("the other model cannot be run, so the old one stays: %s", error)
            self.note = f"{detector.backend} could not be run: {error}"
            detector.close()
            return False
        return True

    def _take(self, fresh: _Loaded) -> None:
        if self._full is not None:  # the smaller one goes on serving
            old: AnyDetector | None = self._full[0]
            self._full = fresh
        else:
            old = self.detector
            self.detector, self._load = fresh
            self.succeeded()
        self._dispose(old)

    def _stand_in(self, smaller: _Loaded) -> None:
        if self._full is None:
            assert self.detector is not None
            self._full = (self.detector, self._load)
        else:
            self._dispose(self.detector)
        self.detector, self._load = smaller
        self.succeeded()

    def _drop_reduced(self) -> None:
        if self._full is not None:
            smaller, full = self.detector, self._full
            (self.detector, self._load), self._full = full, None
            self.succeeded()
            self._dispose(smaller)

    @staticmethod
    def _dispose(detector: AnyDetector | None) -> None:
        if detector is not None:
            detector.close()
            release_memory()

    def succeeded(self) -> None:
        """A run gave an answer that makes sense: earlier failures are over."""
        if self.error is not None:
            log.warning("inference works again")
        self.error = self.failing_since = None
        self._failures = 0

    def failed(self, error: InferenceError, stop: threading.Event) -> None:
        """Note a run that failed or gave nonsense; after a few in a row load the model again."""
        if self.error is None:
            log.error("inference fails: %s", error)
            self.failing_since = self._clock.mono()
        self.error = str(error)
        self._failures += 1
        if self._failures < FAILURES_BEFORE_RELOAD:
            return
        self._failures = 0
        stop.wait(self._reload_wait_s())
        self._reloaded.append(self._clock.mono())
        self._reload()

    def _reload_wait_s(self) -> float:
        while self._reloaded and self._clock.mono() - self._reloaded[0] > RELOAD_WINDOW_S:
            self._reloaded.popleft()
        return RELOAD_S[min(len(self._reloaded), len(RELOAD_S) - 1)]

    def _reload(self) -> None:
        why = self.error
        if self._full is not None:
            self.note = f"the smaller model failed ({why}): the full one serves again"
            log.warning("%s", self.note)
            self._drop_reduced()
            return
        try:
            fresh = self._load()
            fresh.warm_up()
        except DetectorError as error:
            self.error = str(error)
            return
        old, self.detector = self.detector, fresh
        if old is not None:
            self._dispose(old)
            # Kept for good, not until the next frame: hours later somebody asks why another engine runs.
            now_runs = f"{fresh.backend} serves instead" if fresh.backend != old.backend else "it was loaded again"
            self.note = f"{old.backend} failed ({why}): {now_runs}"
        log.warning("the model was loaded again after failures")
