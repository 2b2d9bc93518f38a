"""Limits the reloads of a failing model: after a few within an hour the safe one is loaded instead."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.inference.detector import PersonDetector

log = logging.getLogger(__name__)

WITHIN_S = 3600.0
MOST = 4  # the first load and three reloads
FAST = "tensorrt"  # may fail permanently: a CUDA error stays until the process ends


class FallbackLoader:
    """Calls `load`, and after `MOST` engines within `WITHIN_S` calls `safe` instead. Not thread-safe."""

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
