"""Rolling statistics: percentiles of the last values, a rate over the last seconds. Thread-safe."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np


class Percentiles:
    """Percentiles over the last `size` values."""

    def __init__(self, size: int = 256) -> None:
        self._values: deque[float] = deque(maxlen=size)
        self._lock = threading.Lock()

    def add(self, value: float) -> None:
        with self._lock:
            self._values.append(value)

    def percentiles(self, digits: int = 2) -> dict[str, float | None]:
        """{"p50", "p99"}, rounded to `digits`; None without values."""
        with self._lock:
            values = list(self._values)
        if not values:
            return {"p50": None, "p99": None}
        p50, p99 = np.percentile(values, (50, 99))
        return {"p50": round(float(p50), digits), "p99": round(float(p99), digits)}


class Rate:
    """Events per second over the last `window_s` seconds; falls as soon as the next event is overdue."""

    def __init__(self, window_s: float = 5.0) -> None:
        self._window = window_s
        self._times: deque[float] = deque()
        self._lock = threading.Lock()

    def tick(self, now: float) -> None:
        with self._lock:
            self._times.append(now)
            self._forget(now)

    def clear(self) -> None:
        with self._lock:
            self._times.clear()

    def value(self, now: float) -> float:
        with self._lock:
            self._forget(now)
            if len(self._times) < 2:
                return 0.0
            first, last, intervals = self._times[0], self._times[-1], len(self._times) - 1
            # One interval after the last event is normal; what is longer is late.
            span = max(last - first, now - first - (last - first) / intervals)
            return intervals / span if span > 0.0 else 0.0

    def _forget(self, now: float) -> None:
        while self._times and now - self._times[0] > self._window:
            self._times.popleft()
