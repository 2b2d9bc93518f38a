"""Chooses which of the waiting pictures to decode, so that pictures stay recent when decoding falls behind."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from .access_units import AccessUnit

LATE_S = 0.5
_BEHIND_S = LATE_S / 2
_MAX_BYTES = 1 << 25
_MAX_ASIDE_BYTES = 1 << 23
_OVERDUE = 1.5  # intervals without a key frame, after which the interval is no longer trusted
_SOON_S = 0.1  # if the newest picture is decoded within this time, an older one would only delay it
_COSTS = 9  # pictures of which the median decoding time counts: neither key frames nor pauses of the machine
_SMOOTH = 0.1  # the weight of the newest value in the running mean of the interval
_PAUSE_S = 10.0  # time stamps further apart are not used for the frame rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The next unit to decode; `fresh`: it does not depend on the unit decoded before.

    `alone`: no unit that depends on it will be decoded; `seen`: its picture was returned before.
    """

    unit: AccessUnit
    fresh: bool
    alone: bool = False
    seen: bool = False


class DecodeQueue:
    """Pictures received and not yet decoded, oldest first. Times are the stream's own, in seconds.

    A quarter of a second behind, it skips pictures that no other depends on, and all before the newest key frame
    in the queue. Half a second behind, without a key frame in the queue, it estimates what gives a current picture
    sooner: to continue decoding, or to wait for the next key frame.

    While `keyframes_only()` is true, all others are buffered, so that decoding can continue at once when it becomes
    false. A camera whose key frames are further apart than `longest_s`, or irregular, is decoded completely.
    """

    def __init__(
        self, *, clock_rate: int, keyframes_only: Callable[[], bool] = lambda: False, longest_s: float = 4.0
    ) -> None:
        self._tick_s, self._keyframes_only, self._longest_s = 1.0 / clock_rate, keyframes_only, longest_s
        self._aside: list[AccessUnit] = []  # since the last key frame that was decoded alone, and that one
        self._alone: set[int] = set()  # the stamps of waiting key frames that no decoded unit depends on
        self._again: int | None = None  # the stamp of that key frame when it must be decoded again
        self.sparing = False
        """Whether only key frames are decoded now."""
        self._units: deque[AccessUnit] = deque()
        self._bytes = 0
        self._owed = b""  # parameter sets of skipped units
        self._newest: int | None = None
        self._keys: deque[int] = deque(maxlen=2)
        self._waiting = self._fresh = False
        self._interval_s = 0.0
        self._costs_s: deque[float] = deque(maxlen=_COSTS)
        self._dear = False  # the last one returned is a key frame
        self._recovering = False  # it was late, and units are still waiting
        self.skipped = 0
        """Pictures skipped so far."""

    def __len__(self) -> int:
        return len(self._units)

    def put(self, unit: AccessUnit) -> None:
        self._observe(unit)
        if self._spared(unit):
            return
        if not unit.key and self._waiting:
            self._leave_out(unit)
            return
        self._fresh |= self._waiting
        self._waiting = False
        self._units.append(unit)
        self._bytes += len(unit.data)
        if self._bytes > _MAX_BYTES:
            self._wait_for_key()

    def take(self) -> Turn | None:
        """The next unit to decode; None if none waits."""
        self._catch_up()
        if not self._units:
            return None
        alone = self._units[0].timestamp in self._alone
        unit, fresh = self._pop(), self._fresh
        if self._owed:
            unit, self._owed = replace(unit, data=self._owed + unit.data), b""
        self._fresh, self._dear = False, unit.key
        self._recovering = self._recovering and len(self._units) > 0
        seen, self._again = unit.timestamp == self._again, None
        return Turn(unit=unit, fresh=fresh, alone=alone, seen=seen)

    def late(self, timestamp: int) -> bool:
        """Whether a picture with `timestamp` (clock ticks) is too old to return, since a newer one waits.

        After a late picture, all others before the newest are late too if that one is decoded soon.
        """
        if not self._units:
            return False
        late = self._lag_s(timestamp) > LATE_S
        self._recovering |= late
        return late or (self._recovering and self._until_fresh_s() <= _SOON_S)

    def spent(self, seconds: float) -> None:
        """Note the time that decoding the last unit took."""
        if not self._dear:
            self._costs_s.append(seconds)

    def _observe(self, unit: AccessUnit) -> None:
        if self._newest is not None:
            gap_s = (unit.timestamp - self._newest) * self._tick_s
            if 0.0 < gap_s < _PAUSE_S:
                mean = self._interval_s
                self._interval_s = mean + _SMOOTH * (gap_s - mean) if mean else gap_s
        self._newest = unit.timestamp
        if unit.key:
            self._keys.append(unit.timestamp)

    def _lag_s(self, timestamp: int) -> float:
        # Relative to the last one received: a camera whose stamps jump is not behind for ever.
        return 0.0 if self._newest is None else (self._newest - timestamp) * self._tick_s

    def _behind(self, seconds: float) -> bool:
        return len(self._units) > 1 and self._lag_s(self._units[0].timestamp) > seconds

    def _catch_up(self) -> None:
        if not self._behind(_BEHIND_S):
            return
        newest_key = max((i for i, unit in enumerate(self._units) if unit.key), default=0)
        for _ in range(newest_key):
            self._leave_out(self._pop())
        self._fresh |= newest_key > 0
        while self._behind(_BEHIND_S) and not self._units[0].reference:
            self._leave_out(self._pop())
        if self._behind(LATE_S) and self._until_fresh_s() > self._until_key_s():
            self._wait_for_key()

    def _spared(self, unit: AccessUnit) -> bool:
        """Whether `unit` need not be decoded because only key frames are."""
        if not (self._keyframes_only() and self._regular()):
            self._resume()
            return False
        self.sparing = True
        if unit.key:
            self._put_off()
            self._aside = [unit]
            self._alone.add(unit.timestamp)
            return False
        if self._waiting:
            return False
        self._aside.append(unit)
        if sum(len(one.data) for one in self._aside) > _MAX_ASIDE_BYTES:
            self._put_off()
            self._waiting = True
        return True

    def _regular(self) -> bool:
        """Whether key frames come often enough to decode only those."""
        if len(self._keys) < 2 or self._newest is None:
            return False
        interval_s = (self._keys[1] - self._keys[0]) * self._tick_s
        since_s = (self._newest - self._keys[1]) * self._tick_s
        return 0.0 < interval_s <= self._longest_s and since_s <= _OVERDUE * interval_s

    def _put_off(self) -> None:
        """Skip the buffered units, except for their key frame, which was decoded."""
        for unit in self._aside:
            if not unit.key:
                self._leave_out(unit)
        self._aside = []

    def _resume(self) -> None:
        """Queue the buffered units: decode all pictures again."""
        if not self.sparing:
            return
        self.sparing, aside, self._aside = False, self._aside, []
        if aside and aside[0].key:
            # The decoder has dropped it, so it is decoded again; its picture is returned only if it was not yet.
            waits = any(unit is aside[0] for unit in self._units)
            while self._units:
                unit = self._pop()
                if unit is not aside[0]:
                    self._leave_out(unit)
            self._again, self._fresh = None if waits else aside[0].timestamp, True
        for unit in aside:
            self._units.append(unit)
            self._bytes += len(unit.data)

    def _until_fresh_s(self) -> float:
        """Seconds to decode all that waits and what arrives meanwhile; infinity if it never ends."""
        cost_s = statistics.median(self._costs_s) if self._costs_s else 0.0
        spare = 1.0 - cost_s / self._interval_s if self._interval_s else 1.0
        return len(self._units) * cost_s / spare if spare > 0.0 else math.inf

    def _until_key_s(self) -> float:
        """Seconds until the next key frame, by the distance of the last two; infinity if unknown or overdue."""
        if len(self._keys) < 2 or self._newest is None:
            return math.inf
        left_s = (2 * self._keys[1] - self._keys[0] - self._newest) * self._tick_s
        return left_s if left_s >= 0.0 else math.inf

    def _wait_for_key(self) -> None:
        while self._units:
            self._leave_out(self._pop())
        self._waiting = True

    def _pop(self) -> AccessUnit:
        unit = self._units.popleft()
        self._bytes -= len(unit.data)
        self._alone.discard(unit.timestamp)
        return unit

    def _leave_out(self, unit: AccessUnit) -> None:
        self.skipped += 1
        self._owed = unit.parameters or self._owed
