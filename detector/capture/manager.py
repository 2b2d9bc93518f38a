"""The set of cameras: each a capture loop in a thread of its own, started and stopped as the config says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from detector.config.schema import Camera
from detector.core.clock import Clock
from detector.core.threads import ServiceThread
from detector.core.types import CameraState

from .camera import CameraLoop, CaptureStats
from .factory import make_source
from .idle_cameras import IdleCameras
from .latest_frames import LatestFrames

OnState = Callable[[str, CameraState, str | None], None]
_CAPTURE_KEYS = ("source", "loop", "timeout_s", "transport", "enabled")  # a change of these opens the source anew
STOP_S = 2.0  # on top of the camera's read time-out


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    settings: Camera
    loop: CameraLoop
    thread: ServiceThread


class Cameras:
    """Start, stop and look at the capture loops. `apply` and `stop` come from one thread at a time."""

    def __init__(
        self, *, frames: LatestFrames, clock: Clock, on_state: OnState, idle: IdleCameras | None = None
    ) -> None:
        self._frames, self._clock, self._on_state = frames, clock, on_state
        self._idle = idle or IdleCameras()
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()

    def apply(self, wanted: Mapping[str, Camera]) -> None:
        """Make what runs be `wanted`; a camera whose source is unchanged loses no frame."""
        current = self.running()
        stale = [n for n, r in current.items() if n not in wanted or _differs(r.settings, wanted[n])]
        self._close(stale)
        for name, settings in wanted.items():
            if not settings.enabled:
                continue
            self._frames.add(name, settings.detect_fps)
            if name in current and name not in stale:
                with self._lock:
                    kept = self._running[name]
                    self._running[name] = _Running(settings=settings, loop=kept.loop, thread=kept.thread)
            else:
                self._open(name, settings)

    def _open(self, name: str, settings: Camera) -> None:
        # The loop is told to stop through its thread, and a paced file waits on the same event.
        stop = threading.Event()
        loop = CameraLoop(
            name=name,
            make_source=partial(make_source, settings, stop=stop, keyframes_only=partial(self._idle.is_idle, name)),
            put=self._frames.put,
            stop=stop,
            clock=self._clock,
            on_state=self._on_state,
        )
        thread = ServiceThread(name=f"camera-{name}", run=lambda _: loop.run(), stop_event=stop)
        with self._lock:
            self._running[name] = _Running(settings=settings, loop=loop, thread=thread)
        thread.start()

    def _close(self, names: list[str]) -> None:
        running = self.running()
        for name in names:
            running[name].thread.signal()
        for name in names:
            running[name].thread.join(running[name].settings.timeout_s + STOP_S)
            self._frames.remove(name)
            with self._lock:
                del self._running[name]

    def running(self) -> dict[str, _Running]:
        with self._lock:
            return dict(self._running)

    def stats(self) -> dict[str, CaptureStats]:
        return {name: entry.loop.stats() for name, entry in self.running().items()}

    def stop(self) -> None:
        """End all loops; each has its read time-out to notice."""
        self._close(list(self.running()))


def _differs(old: Camera, new: Camera) -> bool:
    # Single pictures are polled at the detect rate.
    keys = (*_CAPTURE_KEYS, "detect_fps") if new.kind == "http" else _CAPTURE_KEYS
    return any(getattr(old, key) != getattr(new, key) for key in keys)
