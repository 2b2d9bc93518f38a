"""What a camera's picture shows now: written by the worker, read by the window. Thread-safe."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from detector.core.stats import Percentiles, Rate
from detector.core.types import BoxReason, Frame, Track


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveScene:
    """The newest frame that the worker looked at, the people known in it, and why each box raises no alert."""

    frame: Frame
    people: tuple[Track, ...]
    moving: bool
    reasons: tuple[BoxReason, ...] = ()


class LiveView:
    """One camera's newest scene and its figures."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scene: LiveScene | None = None
        self.latency = Percentiles()  # ms from capture to the rules' word
        self.rate = Rate()
        self.detected = 0
        self.close_ups = 0

    def show(self, scene: LiveScene) -> None:
        with self._lock:
            self._scene = scene

    def scene(self) -> LiveScene | None:
        with self._lock:
            return self._scene

    def count(self, *, now: float, captured_mono: float) -> None:
        """Note a frame that went through the model."""
        self.detected += 1
        self.rate.tick(now)
        self.latency.add((now - captured_mono) * 1000)
