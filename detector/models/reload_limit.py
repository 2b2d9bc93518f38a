"""A model that keeps failing is not loaded for ever: after a few times in an hour what is safe serves."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.inference.detector import PersonDetector

log = logging.getLogger(__name__)

WITHIN_S = 3600.0
MOST = 4  # the first load and three anew
FAST = "tensorrt"  # what can fail for good: a fault of CUDA's stays until the process ends


class FallbackLoader:
    """Calls `load`; once it gave `MOST` engines within `WITHIN_S`, `safe` instead. For one thread."""

    def __init__(
        self, *, load: Callable[[], PersonDetector], safe: Callable[[], PersonDetector], clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._load, self._safe, self._clock = load, safe, clock
        self._engines: deque[float] = deque(maxlen=MOST)

    def __call__(self) -> PersonDetector:
        """A loaded model; raises ModelError."""
        now = self._clock.mono()
        if len(self._engines) == MOST and now - self._engines[0] < WITHIN_S:
            log.error("the engine was loaded %d times within an hour and failed each time: no more of it", MOST)
            return self._safe()
        detector = self._load()
        if detector.backend == FAST:
            self._engines.append(now)
        return detector
