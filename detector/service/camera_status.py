"""Publishes what each camera's state is, and ends the visits of cameras that went dark."""

from __future__ import annotations

from collections.abc import Callable

from detector.capture.camera import CaptureStats
from detector.core.clock import Clock

from .health import CameraStats

DARK_S = 5.0  # nobody can be followed any more once a camera gave no frame for this long


def status_word(stats: CaptureStats, *, failing: bool, tampered: bool = False) -> str:
    """`P/CAM/status`: online, offline, or degraded while frames come and the model fails or the view is gone."""
    if stats.state != "online":
        return "offline"
    return "degraded" if failing or tampered else "online"


class CameraStatusPublisher:
    """`publish(camera, word)` is called for each change, `end_visits(camera)` once when a camera goes dark.

    Not thread-safe but for `forget`: the main thread calls it twice a second.
    """

    def __init__(
        self,
        *,
        cameras: CameraStats,
        publish: Callable[[str, str], None],
        end_visits: Callable[[str], None],
        clock: Clock,
        is_tampered: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._is_tampered = is_tampered
        self._cameras, self._publish, self._end_visits, self._clock = cameras, publish, end_visits, clock
        self._published: dict[str, str] = {}
        self._dark: set[str] = set()

    def update(self, *, model_failing: bool) -> None:
        """Look at every camera once."""
        for name, stats in self._cameras().items():
            word = status_word(stats, failing=model_failing, tampered=self._is_tampered(name))
            if self._published.get(name) != word:
                self._published[name] = word
                self._publish(name, word)
            self._note_darkness(name, stats)

    def forget(self, camera: str) -> None:
        """A camera was removed: should it come back, its state is published again."""
        self._published.pop(camera, None)
        self._dark.discard(camera)

    def _note_darkness(self, camera: str, stats: CaptureStats) -> None:
        last = stats.last_frame_mono
        if stats.state == "online":
            self._dark.discard(camera)
        elif camera not in self._dark and last is not None and self._clock.mono() - last > DARK_S:
            self._dark.add(camera)
            self._end_visits(camera)
