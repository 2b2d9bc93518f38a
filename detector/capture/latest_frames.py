"""The newest frame of each camera, between capture and inference: given out at each camera's rate, fairly."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection
from dataclasses import dataclass

from detector.core.clock import SYSTEM_CLOCK, Clock
from detector.core.types import Frame

_EARLY = 0.25  # of the interval: a frame this much before its due time is in time
_OWED_S = 10.0  # a lost frame counts for about this long,
_OWED, _MOST_OWED = 0.2, 3.0  # ... and makes its camera this many intervals more urgent; all together at most so many
_LATE = 1.0 - _EARLY  # the most by which a camera is late if its rate is not a multiple of the limit


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotCounts:
    """`taken` by inference; `dropped` unread though due; `skipped` because of the rate limit alone.

    `refused`: older than one that came before.
    """

    taken: int = 0
    dropped: int = 0
    skipped: int = 0
    refused: int = 0


def reduced_fps(fps: float, share: float, least_fps: float) -> float:
    """`share` of a rate, but no less than `least_fps`, or than the rate itself if that is less."""
    return max(fps * share, min(fps, least_fps))


class _CameraSlot:
    """One camera's newest frame and its schedule, in seconds of `captured_mono`."""

    __slots__ = (
        "_owed",
        "_owed_at",
        "dropped",
        "due",
        "factor",
        "frame",
        "interval",
        "newest",
        "refused",
        "served",
        "skipped",
        "taken",
        "usual",
    )

    def __init__(self, max_fps: float) -> None:
        self.usual = self.interval = 1.0 / max_fps
        self.factor = 1.0
        self.due = -math.inf
        self.frame: Frame | None = None
        self.taken = self.dropped = self.skipped = self.refused = 0
        self.newest = -math.inf  # `captured_mono` of the newest frame that came
        self._owed, self._owed_at = 0.0, 0.0
        self.served = -math.inf

    def pace(self, interval: float) -> None:
        """Another interval, from the last frame taken on: a faster rate does not wait for the slower one's next."""
        self.due = min(self.due, self.due - self.interval + interval)
        self.interval = interval

    @property
    def opens_mono(self) -> float:
        """When the held frame may be taken (monotonic s); infinity without one.

        A frame captured in time may be taken at once. One captured too early waits for a fresher one, and
        is taken only if none comes for a whole interval.
        """
        if self.frame is None:
            return math.inf
        in_time = self.frame.captured_mono >= self.due - self.interval * _EARLY
        return -math.inf if in_time else self.due + self.interval

    def turn(self, now: float) -> float:
        """Lower is more urgent: the time when it was last taken from, minus what it lost recently.

        By the time alone, a slight overload would take all lost frames from the cameras that happen to
        deliver just after the others.
        """
        return self.served - self._still_owed(now)

    def _still_owed(self, now: float) -> float:
        return self._owed * math.exp((self._owed_at - now) / _OWED_S)

    def put(self, frame: Frame, now: float) -> None:
        if frame.captured_mono < self.newest:
            self.refused += 1  # what comes after can neither follow a person back in time nor measure motion
            return
        self.newest = frame.captured_mono
        if self.frame is not None:
            if self.opens_mono <= now:
                self.dropped += 1
                self._owed = min(self._still_owed(now) + _OWED * self.interval, _MOST_OWED * self.interval)
                self._owed_at = now
            else:
                self.skipped += 1
        self.frame = frame

    def take(self, now: float) -> Frame:
        frame, self.frame = self.frame, None
        self.served = now
        assert frame is not None
        # The schedule is cumulative, so neither jitter nor an odd camera rate costs frames. It moves
        # along with a camera that fell further behind, so a pause is not followed by a burst.
        self.due = max(self.due, frame.captured_mono - self.interval * _LATE) + self.interval
        self.taken += 1
        return frame


class LatestFrames:
    """One slot per camera: a newer frame replaces an unread one. Thread-safe.

    Frames of a camera are given out at most at its `max_fps` (times the factor of `hurry` and the share of `slow`), by
    their `captured_mono`: any N frames span at least N - 2 intervals. A camera with exactly that rate loses none to jitter of a quarter of an
    interval either way.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._slots: dict[str, _CameraSlot] = {}
        self._closed = False
        self._share, self._least_fps = 1.0, 0.0

    @property
    def share(self) -> float:
        """What `slow` set."""
        return self._share

    def add(self, camera: str, max_fps: float) -> None:
        """Accept frames of `camera`; for a known one only change its rate. Raises ValueError for a bad rate."""
        if not (max_fps > 0.0 and math.isfinite(max_fps)):
            raise ValueError(f"max_fps must be positive, got {max_fps}")
        with self._changed:
            slot = self._slots.get(camera)
            if slot is None:
                slot = self._slots[camera] = _CameraSlot(max_fps)
            slot.usual, slot.factor = 1.0 / max_fps, 1.0
            self._pace(slot)

    def hurry(self, camera: str, factor: float) -> None:
        """Give `camera`'s frames out at `factor` times its rate from now on, 1: as usual; ignored for one not known."""
        with self._changed:
            slot = self._slots.get(camera)
            if slot is not None and slot.factor != factor:
                slot.factor = factor
                self._pace(slot)

    def slow(self, share: float, *, least_fps: float) -> None:
        """Give every camera's frames out at `share` of its rate from now on, but at `least_fps` where it has as much."""
        if not 0.0 < share <= 1.0:
            raise ValueError(f"share must lie in 0..1, got {share}")
        with self._changed:
            self._share, self._least_fps = share, least_fps
            for slot in self._slots.values():
                self._pace(slot)

    def remove(self, camera: str) -> None:
        """Forget `camera`, its frame and its counts."""
        with self._changed:
            self._slots.pop(camera, None)

    def put(self, frame: Frame) -> None:
        """Keep `frame` as its camera's newest; ignored for a camera that is not (or no longer) known.

        A frame older than one that came before is refused, and counted.
        """
        with self._changed:
            slot = self._slots.get(frame.camera)
            if slot is None or self._closed:
                return
            slot.put(frame, self._clock.mono())
            self._changed.notify()

    def take(self, timeout_s: float) -> Frame | None:
        """The most urgent frame, waiting up to `timeout_s`; None if none came, or after `close`."""
        deadline = self._clock.mono() + timeout_s
        with self._changed:
            while not self._closed:
                now = self._clock.mono()
                slot = self._ready(now)
                if slot is not None:
                    return slot.take(now)
                if now >= deadline:
                    return None
                opens = min((s.opens_mono for s in self._slots.values()), default=math.inf)
                self._changed.wait(max(0.0, min(deadline, opens) - now))
            return None

    def take_waiting(self, besides: Collection[str]) -> Frame | None:
        """The most urgent frame of the cameras not in `besides`, without waiting; None if there is none."""
        with self._changed:
            now = self._clock.mono()
            slot = None if self._closed else self._ready(now, besides)
            return None if slot is None else slot.take(now)

    def waiting(self) -> bool:
        """Whether a frame of any camera could be taken now."""
        with self._changed:
            return not self._closed and self._ready(self._clock.mono()) is not None

    def counts(self, camera: str) -> SlotCounts:
        """Since `add`; all zero for a camera that is not known."""
        with self._changed:
            slot = self._slots.get(camera)
            if slot is None:
                return SlotCounts()
            return SlotCounts(taken=slot.taken, dropped=slot.dropped, skipped=slot.skipped, refused=slot.refused)

    def close(self) -> None:
        """Wake a waiting `take`; from now on it returns None at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _pace(self, slot: _CameraSlot) -> None:
        fps = reduced_fps(1.0 / slot.usual, self._share, self._least_fps)
        interval = 1.0 / (fps * slot.factor) if self._share < 1.0 else slot.usual / slot.factor
        if interval != slot.interval:
            slot.pace(interval)
            self._changed.notify_all()

    def _ready(self, now: float, besides: Collection[str] = ()) -> _CameraSlot | None:
        # The one that waited longest first: a camera that is not chosen becomes more urgent, so none starves.
        ready = [slot for name, slot in self._slots.items() if slot.opens_mono <= now and name not in besides]
        return min(ready, key=lambda slot: slot.turn(now), default=None)
