"""The cameras' capture loops, one thread each, started and stopped as the config says."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from detector.config.schema import Camera
from detector.core.clock import Clock
from detector.core.threads import ServiceThread

from .camera import CameraLoop, CaptureStats, OnState
from .factory import make_source
from .idle_cameras import IdleCameras
from .latest_frames import LatestFrames
from .recording.recorders import Recorders

_CAPTURE_KEYS = ("source", "loop", "timeout_s", "transport", "enabled")  # a change of these reopens the source
STOP_S = 2.0  # in addition to the camera's read time-out


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    settings: Camera
    loop: CameraLoop
    thread: ServiceThread


class Cameras:
    """Starts and stops the capture loops. Call `apply` and `stop` from one thread at a time, the rest from any."""

    def __init__(
        self,
        *,
        frames: LatestFrames,
        clock: Clock,
        on_state: OnState,
        idle: IdleCameras | None = None,
        recorders: Recorders | None = None,
    ) -> None:
        self._recorders = recorders
        self._frames, self._clock, self._on_state = frames, clock, on_state
        self._idle = idle or IdleCameras()
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()

    def apply(self, wanted: Mapping[str, Camera]) -> None:
        """Run the cameras of `wanted`; a camera with an unchanged source loses no frame."""
        if self._recorders is not None:
            self._recorders.apply(wanted)
        current = self.running()
        stale = [
            name for name, running in current.items() if name not in wanted or _differs(running.settings, wanted[name])
        ]
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
        # The thread's stop event ends the loop, and also the waits of a paced file.
        stop = threading.Event()
        loop = CameraLoop(
            name=name,
            make_source=partial(
                make_source,
                settings,
                stop=stop,
                keyframes_only=partial(self._idle.is_idle, name),
                tap=None if self._recorders is None else self._recorders.tap(name),
                clock=self._clock,
            ),
            put=self._frames.put,
            stop=stop,
            clock=self._clock,
            on_state=self._on_state,
        )
        thread = ServiceThread(name=f"camera-{name}", run=lambda _: loop.run(), stop_event=stop)
        with self._lock:
            self._running[name] = _Running(settings=settings, loop=loop, thread=thread)
        thread.start()

    def _close(self, names: list[str], *, at_most_s: float = math.inf) -> None:
        running, deadline = self.running(), self._clock.mono() + at_most_s
        for name in names:
            running[name].thread.signal()
        for name in names:
            left = max(0.0, deadline - self._clock.mono())
            running[name].thread.join(min(running[name].settings.timeout_s + STOP_S, left))
            self._frames.remove(name)
            with self._lock:
                del self._running[name]

    def running(self) -> dict[str, _Running]:
        with self._lock:
            return dict(self._running)

    def stats(self) -> dict[str, CaptureStats]:
        return {name: entry.loop.stats() for name, entry in self.running().items()}

    def threads(self) -> list[ServiceThread]:
        """One for each enabled camera and one for each second stream; none of them ends unless it is stopped."""
        recording = [] if self._recorders is None else self._recorders.threads()
        return [*(entry.thread for entry in self.running().values()), *recording]

    def stop(self, at_most_s: float = math.inf) -> None:
        """Stop all loops, in at most so many seconds together; each may take its read time-out to notice."""
        if self._recorders is not None:
            for thread in self._recorders.threads():
                thread.signal()  # all end at the same time
        deadline = self._clock.mono() + at_most_s
        self._close(list(self.running()), at_most_s=at_most_s)
        if self._recorders is not None:
            self._recorders.stop(max(0.0, deadline - self._clock.mono()))


def _differs(old: Camera, new: Camera) -> bool:
    # Single pictures are polled at the detect rate.
    keys = (*_CAPTURE_KEYS, "detect_fps") if new.kind == "http" else _CAPTURE_KEYS
    return any(getattr(old, key) != getattr(new, key) for key in keys)
