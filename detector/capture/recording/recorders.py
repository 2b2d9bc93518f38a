"""What each camera's clips are made of: a ring of coded pictures, and a second stream where one is named."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from detector.capture.packets import PacketTap, StreamFormat
from detector.config.schema import Camera
from detector.core.clock import Clock
from detector.core.threads import ServiceThread

from .loop import RecordLoop
from .ring import PacketRing, RingStats
from .sources import packet_sources

SLACK_S = 3.0
"""Held beyond what a clip begins with: an alert comes some pictures after the person, and its clip a moment later."""
_LOOP_KEYS = ("record_source", "transport", "timeout_s", "loop")  # a change of these connects again


class MainTap:
    """The tap of the stream that is decoded: into the ring, unless a second stream feeds that."""

    def __init__(self, ring: PacketRing) -> None:
        self._ring = ring
        self.wanted = True

    def begin(self) -> None:
        if self.wanted:
            self._ring.begin()

    def put(self, form: StreamFormat, data: bytes, *, pts: int, mono: float, key: bool) -> None:
        if self.wanted:
            self._ring.put(form, data, pts=pts, mono=mono, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingStats:
    """One camera's ring; `error`: why its second stream gives nothing, None where it does or there is none."""

    ring: RingStats
    second_stream: bool
    error: str | None


@dataclass(slots=True, kw_only=True)
class _Recording:
    settings: Camera
    ring: PacketRing
    tap: MainTap
    loop: RecordLoop | None = None
    thread: ServiceThread | None = None


class Recorders:
    """`apply` and `stop` from one thread at a time, the rest from any. `early_s`: an alert may come so late, s."""

    def __init__(self, *, clock: Clock, early_s: Callable[[], float] = lambda: 0.0) -> None:
        self._clock, self._early_s = clock, early_s
        self._lock = threading.Lock()
        self._cameras: dict[str, _Recording] = {}

    def apply(self, wanted: Mapping[str, Camera]) -> None:
        """Record the cameras of `wanted`; one whose stream is the same loses no picture."""
        for name in [name for name in self._all() if name not in wanted]:
            self._end_loop(self._all()[name], math.inf)
            with self._lock:
                del self._cameras[name]
        for name, settings in wanted.items():
            self._apply_one(name, settings)

    def tap(self, camera: str) -> PacketTap | None:
        """Where the decoded stream's coded pictures go; None for a camera that is not there."""
        found = self._all().get(camera)
        return None if found is None else found.tap

    def ring(self, camera: str) -> PacketRing | None:
        """The camera's ring, None where it records nothing."""
        found = self._all().get(camera)
        return None if found is None or found.ring.hold_s <= 0.0 else found.ring

    def stats(self) -> dict[str, RecordingStats]:
        return {
            name: RecordingStats(
                ring=one.ring.stats(),
                second_stream=one.loop is not None,
                error=None if one.loop is None else one.loop.error,
            )
            for name, one in self._all().items()
            if one.ring.hold_s > 0.0
        }

    def threads(self) -> list[ServiceThread]:
        """Of the second streams."""
        return [one.thread for one in self._all().values() if one.thread is not None]

    def stop(self, at_most_s: float = math.inf) -> None:
        """End the second streams, in at most so many seconds together; what was recorded stays."""
        threads, deadline = self.threads(), self._clock.mono() + at_most_s
        for thread in threads:
            thread.signal()
        for thread in threads:
            thread.join(max(0.0, min(deadline - self._clock.mono(), 10.0)))

    def _all(self) -> dict[str, _Recording]:
        with self._lock:
            return dict(self._cameras)

    def _apply_one(self, name: str, settings: Camera) -> None:
        one = self._all().get(name)
        if one is None:
            ring = PacketRing()
            one = _Recording(settings=settings, ring=ring, tap=MainTap(ring))
            with self._lock:
                self._cameras[name] = one
        on = settings.enabled and settings.clip.enabled
        second = on and settings.record_source is not None
        if one.loop is not None and (not second or _differs(one.settings, settings)):
            self._end_loop(one, settings.timeout_s + 2.0)
        one.settings, one.tap.wanted = settings, settings.record_source is None
        one.ring.hold(settings.clip.pre_s + self._early_s() + SLACK_S if on else 0.0)
        if second and one.loop is None:
            self._begin_loop(name, one)

    def _begin_loop(self, name: str, one: _Recording) -> None:
        settings, stop = one.settings, threading.Event()
        assert settings.record_source is not None
        sources = packet_sources(
            settings.record_source.get_secret_value().strip(),
            transport=settings.transport,
            loop=settings.loop,
            timeout_s=settings.timeout_s,
            tap=one.ring,
            clock=self._clock,
            stop=stop,
        )
        loop = RecordLoop(name=name, sources=sources, stop=stop, clock=self._clock)
        one.loop, one.thread = loop, ServiceThread(name=f"record-{name}", run=lambda _: loop.run(), stop_event=stop)
        one.thread.start()

    @staticmethod
    def _end_loop(one: _Recording, at_most_s: float) -> None:
        if one.thread is not None:
            one.thread.join(min(at_most_s, one.settings.timeout_s + 2.0))
        one.loop = one.thread = None


def _differs(old: Camera, new: Camera) -> bool:
    return any(getattr(old, key) != getattr(new, key) for key in _LOOP_KEYS)
