"""Whether inference keeps up with the cameras: frames looked at and frames lost, over the last seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from detector.capture.latest_frames import SlotCounts

WINDOW_S = 10.0
LOST_SHARE = 0.1
"""Overloaded: in both halves of the window at least this share was lost. One burst is only in one half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """Frames a second, of all cameras together: `looked_at` by inference, of `due` ones."""

    looked_at: float
    due: float


class LoadMeter:
    """`observe` the cameras' counts a few times a second; times are monotonic seconds. For one thread.

    `overload` is what the last WINDOW_S showed, None while all is looked at or too little is known.
    """

    def __init__(self) -> None:
        self._last: Mapping[str, SlotCounts] = {}
        self._taken = self._dropped = 0
        self._sums: deque[tuple[float, int, int]] = deque()
        self.overload: Overload | None = None

    def observe(self, now: float, counts: Mapping[str, SlotCounts]) -> None:
        for name, count in counts.items():
            # A camera that was taken away and came back counts from zero; what it lost before is unknown.
            before = self._last.get(name, count)
            self._taken += max(0, count.taken - before.taken)
            self._dropped += max(0, count.dropped - before.dropped)
        self._last = dict(counts)
        self._sums.append((now, self._taken, self._dropped))
        while len(self._sums) > 2 and now - self._sums[1][0] >= WINDOW_S:
            self._sums.popleft()
        self.overload = self._judged(now)

    def forget(self) -> None:
        """What was seen does not count: inference was not at work."""
        self._sums.clear()
        self._last, self.overload = {}, None

    def _judged(self, now: float) -> Overload | None:
        first, last = self._sums[0], self._sums[-1]
        if now - first[0] < WINDOW_S:
            return None
        middle = next(entry for entry in self._sums if now - entry[0] <= WINDOW_S / 2)
        if min(_lost_share(first, middle), _lost_share(middle, last)) < LOST_SHARE:
            return None
        seconds, taken, dropped = (b - a for a, b in zip(first, last, strict=True))
        return Overload(looked_at=taken / seconds, due=(taken + dropped) / seconds)


def _lost_share(begin: tuple[float, int, int], end: tuple[float, int, int]) -> float:
    taken, dropped = end[1] - begin[1], end[2] - begin[2]
    return dropped / (taken + dropped) if taken + dropped else 0.0
